/* Vectors as wide as the processor has, and the product of small matrices that everything else is made of. */

#ifndef REAL
#define REAL float
#endif

#ifdef __AVX512F__
#define BYTES 64 /* of a vector */
#define ROWS 12  /* of a block whose sums, two vectors a row, fit into the registers: 24 of 32, */
#else
#define BYTES 32
#define ROWS 6 /* and 12 of 16 */
#endif

#define LANES ((long)(BYTES / sizeof(REAL)))
#define WIDE (2 * LANES) /* with one vector a row, there would be as many loads as products */
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16") /* wholly: no loop that is unrolled has more turns */

typedef REAL vec __attribute__((vector_size(BYTES), aligned(sizeof(REAL)), may_alias));

INLINE vec load(const REAL *from) { return *(const vec *)from; }
INLINE void store(REAL *to, vec value) { *(vec *)to = value; }
INLINE void prefetch(const REAL *at) { __builtin_prefetch(at); }
INLINE void prefetch_later(const REAL *at) { __builtin_prefetch(at, 0, 2); } /* into a larger, slower cache */
INLINE vec splat(REAL value) { return value - (vec){0}; }

/* Of a vector at the end of a row, as many values as the row has left. */
INLINE vec load_some(const REAL *from, long left) {
    vec value = splat(0);
    if (left >= LANES) return load(from);
    for (long lane = 0; lane < left; lane++) value[lane] = from[lane];
    return value;
}
INLINE void store_some(REAL *to, vec value, long left) {
    if (left >= LANES) store(to, value);
    else for (long lane = 0; lane < left; lane++) to[lane] = value[lane];
}

typedef __typeof__((vec){0} > (vec){0}) mask;
INLINE vec choose(mask where, vec a, vec b) { return (vec)((where & (mask)a) | (~where & (mask)b)); }

static long min(long a, long b) { return a < b ? a : b; }
static long max(long a, long b) { return a > b ? a : b; }
static long parts_of(long count, long size) { return (count + size - 1) / size; }
static long rounded_up(long count, long size) { return parts_of(count, size) * size; }

/* Memory for so many values, and for a vector that is read or written beyond them. */
static REAL *alloc(Memory *memory, long count) { return held(memory, count, sizeof(REAL), BYTES); }

/* A matrix; from one entry to the next in a column it is `row` values, in a row `column` ones. */
typedef struct {
    const REAL *at;
    long row, column;
} Matrix;
INLINE REAL entry(Matrix matrix, long i, long j) { return matrix.at[i * matrix.row + j * matrix.column]; }

/* c (+)= a b for a few rows of a and the columns of one panel of b, the sums in registers.
   rows, vectors: constants where it is inlined. b: [depth][b_row]. */
INLINE void block(int rows, int vectors, long depth, Matrix a, const REAL *b, long b_row, REAL *c, long c_row,
                  long columns, int add) {
    vec sums[ROWS][2];
    UNROLL for (int i = 0; i < rows; i++)
        UNROLL for (int j = 0; j < vectors; j++) sums[i][j] = splat(0);
    UNROLL for (int i = 0; i < rows; i++) prefetch(c + i * c_row);
    for (long k = 0; k < depth; k++) {
        vec of_b[2];
        UNROLL for (int j = 0; j < vectors; j++) of_b[j] = load(b + k * b_row + j * LANES);
        UNROLL for (int i = 0; i < rows; i++) {
            vec of_a = splat(entry(a, i, k));
            UNROLL for (int j = 0; j < vectors; j++) sums[i][j] += of_a * of_b[j];
        }
    }
    if (columns == vectors * LANES) {
        UNROLL for (int i = 0; i < rows; i++)
            UNROLL for (int j = 0; j < vectors; j++) {
                REAL *to = c + i * c_row + j * LANES;
                store(to, add ? sums[i][j] + load(to) : sums[i][j] + splat(0));
            }
        return;
    }
    UNROLL for (int i = 0; i < rows; i++) {
        REAL row[2 * BYTES / sizeof(REAL)];
        UNROLL for (int j = 0; j < vectors; j++) store(row + j * LANES, sums[i][j]);
        for (long j = 0; j < columns; j++) c[i * c_row + j] = row[j] + (add ? c[i * c_row + j] : 0);
    }
}

/* c (+)= a b, for at most `vectors` columns of vectors. */
INLINE void blocks(int vectors, long rows, long depth, Matrix a, const REAL *b, long b_row, REAL *c, long c_row,
                   long columns, int add) {
    for (; rows >= ROWS; rows -= ROWS, a.at += ROWS * a.row, c += ROWS * c_row)
        block(ROWS, vectors, depth, a, b, b_row, c, c_row, columns, add);
    switch (rows) {
#define REST_OF(count) case count: block(count, vectors, depth, a, b, b_row, c, c_row, columns, add); break;
        REST_OF(1) REST_OF(2) REST_OF(3) REST_OF(4) REST_OF(5)
#if ROWS > 6
        REST_OF(6) REST_OF(7) REST_OF(8) REST_OF(9) REST_OF(10) REST_OF(11)
#endif
    }
}

/* c (+)= a b, for at most WIDE columns. */
static void gemm_panel(long rows, long depth, Matrix a, const REAL *b, long b_row, REAL *c, long c_row, long columns,
                    int add) {
    if (columns > LANES) blocks(2, rows, depth, a, b, b_row, c, c_row, columns, add);
    else blocks(1, rows, depth, a, b, b_row, c, c_row, columns, add);
}
