"""Every public name of keras.ops is here, with its signature.

The signatures of Keras 3.15.1 are recorded in `keras_signatures.json`; `python tests/ops/test_signatures.py` records
them anew where Keras is installed.
"""

import inspect
import json
from pathlib import Path

import pytest

RECORD = Path(__file__).with_name("keras_signatures.json")
RECORDED = json.loads(RECORD.read_text()) if RECORD.is_file() else {}
ADDED = {"column_stack", "copysign", "cov", "float_power", "gammainc", "lgamma", "matrix_power",
         "grad", "value_and_grad", "vjp"}  # fmt: skip
"""Functions beyond the recorded release: announced ones of tensors, and derivatives on every backend."""


def signature(function) -> str:
    """Return the parameters with their defaults, without annotations."""
    parameters = inspect.signature(function).parameters.values()
    return str(inspect.Signature([p.replace(annotation=p.empty) for p in parameters]))


def functions(module) -> dict[str, str]:
    return {n: signature(f) for n, f in sorted(vars(module).items()) if inspect.isfunction(f) and n[0] != "_"}


@pytest.mark.parametrize("path", sorted(RECORDED))
def test_signature_is_that_of_keras(path):
    from multikeras import ops

    *module, name = path.split(".")
    owner = getattr(ops, module[0]) if module else ops
    assert signature(getattr(owner, name)) == RECORDED[path]


def test_no_other_name_is_public():
    from multikeras import ops

    assert functions(ops).keys() - {path for path in RECORDED if "." not in path} - ADDED == set()


if __name__ == "__main__":
    from keras import ops as theirs

    found = functions(theirs)
    for part in ("image", "linalg", "nn", "numpy"):
        found |= {f"{part}.{name}": s for name, s in functions(getattr(theirs, part)).items()}
    RECORD.write_text(json.dumps(found, indent=0, sort_keys=True) + "\n")
