"""Random sources: every one is a generator of its own, drawn from a seed and the purpose it serves."""

import hashlib

import torch


def derived_seed(seed: int, purpose: str) -> int:
    """A seed for one purpose, unrelated to those for other purposes."""
    digest = hashlib.sha256(f"{seed}: {purpose}".encode()).digest()
    return int.from_bytes(digest[:7], "big")  # 56 bits: generators take 64 with a sign


def generator(seed: int, purpose: str, device: str | torch.device = "cpu") -> torch.Generator:
    """A generator for one purpose. The same seed and purpose give the same numbers."""
    return torch.Generator(device).manual_seed(derived_seed(seed, purpose))
