/* The memory that a call works in. It is freed together: when the call ends, or when the system has no more of it,
   which ends the call. Threads do not allocate: what they work in is theirs before they start. */

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#define LINE_OF_CACHE 64 /* bytes; where the memory begins, so that no vector lies on two lines */

typedef struct Held {
    struct Held *next;
} Held;

typedef struct {
    Held *held;
    jmp_buf none_left;
} Memory;

/* So many things of a size, and `beyond` bytes that may be read and written after them. */
static void *held(Memory *memory, long count, long size, long beyond) {
    size_t bytes, all;
    int too_many = __builtin_mul_overflow(count, size, &bytes);
    too_many |= __builtin_add_overflow(bytes, beyond + 2 * LINE_OF_CACHE, &all);
    Held *one = too_many ? NULL : aligned_alloc(LINE_OF_CACHE, all / LINE_OF_CACHE * LINE_OF_CACHE);
    if (!one) longjmp(memory->none_left, 1);
    *one = (Held){memory->held};
    memory->held = one;
    return (char *)one + LINE_OF_CACHE;
}

static long *alloc_longs(Memory *memory, long count) { return held(memory, count, sizeof(long), 0); }

/* Zeros. */
static double *alloc_doubles(Memory *memory, long count) {
    return memset(held(memory, count, sizeof(double), 0), 0, count * sizeof(double));
}

/* With the memory itself. */
static void release(Memory *memory) {
    for (Held *one = memory->held, *next; one; one = next) next = one->next, free(one);
    free(memory);
}

/* The body of a function that Python calls: what is done with `memory`. Returned: 0, or 1 where there was none left,
   and what was written until then is worth nothing. */
#define IN_MEMORY(call)                                  \
    {                                                    \
        Memory *memory = calloc(1, sizeof(Memory));      \
        if (!memory) return 1;                           \
        if (setjmp(memory->none_left) == 0) {            \
            call;                                        \
            release(memory);                             \
            return 0;                                    \
        }                                                \
        release(memory);                                 \
        return 1;                                        \
    }
