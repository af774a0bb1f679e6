# cython: language_level=3, freethreading_compatible=True
"""What only compiled code can tell: the compiler's name, and the instruction sets of the CPU."""

cdef extern from *:
    """
    #if defined(__clang__)
    #define GILFREE_COMPILER "clang " __clang_version__
    #elif defined(__GNUC__)
    #define GILFREE_COMPILER "GCC " __VERSION__
    #else
    #define GILFREE_COMPILER "not known"
    #endif

    /* The highest x86-64 level that the CPU and the system support: 1, 3 or 4. 0 on other
       architectures, and if the compiler is too old to know the levels by name. */
    static int gilfree_x86_64_level(void) {
    #if defined(__x86_64__) \\
        && (defined(__clang__) ? __clang_major__ >= 17 : defined(__GNUC__) && __GNUC__ >= 12)
        __builtin_cpu_init();
        return __builtin_cpu_supports("x86-64-v4") ? 4
             : __builtin_cpu_supports("x86-64-v3") ? 3 : 1;
    #else
        return 0;
    #endif
    }
    """
    const char *GILFREE_COMPILER
    int gilfree_x86_64_level()


def x86_64_level():
    return gilfree_x86_64_level()


def compiler():
    return GILFREE_COMPILER.decode()
