"""h5py, imported when a file is first touched: programs that only train keep 50 ms and 11 MB."""

import importlib
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import h5py as h5py
else:

    class _AtFirstUse(types.ModuleType):
        def __getattr__(self, name: str) -> Any:
            value = getattr(importlib.import_module(self.__name__), name)
            setattr(self, name, value)
            return value

    h5py = _AtFirstUse("h5py")
