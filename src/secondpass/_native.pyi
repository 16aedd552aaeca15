"""The native kernels of secondpass; absent where no compiler was there at install."""

def instruction_sets() -> list[str]:
    """The vector instruction sets that this processor and operating system can run, by name.

    Of sse4.2, avx2, fma, avx_vnni, avx512f, avx512bw, avx512vl, avx512_vnni, avx512_bf16, amx_tile
    and amx_int8 on x86, of neon, dotprod and i8mm on ARM, in this order; empty elsewhere.
    """
