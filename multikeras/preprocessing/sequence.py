"""Sequences of one length."""

from multikeras.utils.arrays import pad_sequences as pad_sequences
