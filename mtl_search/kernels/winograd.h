/* The same as bank.h by minimal filtering (Winograd, 1980; Lavin & Gray, CVPR 2016), where all primitives are linear,
   of 3x3 pixels, and without a stride: together they are a convolution. F(3x3, 3x3), with the points 0, 1, -1, 2 and
   infinity.

   A block of 3x3 pixels of the output takes 25 products with transformed weights, instead of 81 of a convolution and
   9 k of the responses of k primitives. Some rows of blocks are transformed, [25][blocks][channels], and each of the 25
   is multiplied with its matrix of weights. */

#define SIDE 3   /* pixels of a block of the output, and of a kernel: larger blocks round too much in float */
#define POINTS 5 /* SIDE + SIDE - 1 */
#define PRODUCTS (POINTS * POINTS)
/* Blocks that are held, enough rows for each matrix of weights that is read for them; and values of all of them, a row
   of blocks at least: 2 MB in float, which stay in a cache. */
#define BLOCKS 36
#define HELD_OF_BLOCKS 524288
#define BLOCKS_AHEAD 2 /* that are asked for before they are read or written: six pixels of three rows */

typedef struct {
    Plan plan;
    long across; /* blocks of a row of blocks */
    long rows;   /* of blocks that are held */
    long row;    /* values of all outputs of a block: whole vectors */
} Blocks;

static Blocks blocks_of(Memory *memory, const Bank *bank) {
    Blocks blocks = {.plan = plan_of(memory, bank), .across = parts_of(bank->width, SIDE)};
    Plan *plan = &blocks.plan;
    plan->reach = SIDE / 2;
    plan->width = SIDE * blocks.across + 2 * plan->reach;
    long down = parts_of(bank->height, SIDE);
    long fit = max(1, (STRIP / (plan->width * plan->channels) - 2 * plan->reach) / SIDE);
    plan->strip = SIDE * parts_of(down, parts_of(down, fit));
    blocks.row = rounded_up(bank->outputs, LANES);
    fit = min(BLOCKS, HELD_OF_BLOCKS / (PRODUCTS * (plan->channels + blocks.row)));
    blocks.rows = min(plan->strip / SIDE, max(1, fit / blocks.across));
    return blocks;
}

/* Transforms of a row, or of a column: `step` values from one to the next. Of an input to products, */
INLINE void of_input(const vec *d, long step, vec *to, long to_step) {
    vec a = d[0], b = d[step], c = d[2 * step], e = d[3 * step], f = d[4 * step];
    to[0] = (a - c) * splat(2) + (e - b);
    to[to_step] = (e - c) - b * splat(2);
    to[2 * to_step] = b * splat(2) - c * splat(3) + e;
    to[3 * to_step] = e - b;
    to[4 * to_step] = (b - e) * splat(2) + (f - c);
}

/* of products to an output, */
INLINE void of_products(const vec *m, long step, vec *to, long to_step) {
    vec sum = m[step] + m[2 * step], difference = m[step] - m[2 * step], last = m[3 * step];
    to[0] = m[0] + sum + last;
    to[to_step] = difference + last * splat(2);
    to[2 * to_step] = sum + last * splat(4) + m[4 * step];
}

/* of the gradient of an output to that of products, */
INLINE void of_output(const vec *y, long step, vec *to, long to_step) {
    vec first = y[0], middle = y[step], last = y[2 * step];
    to[0] = first;
    to[to_step] = first + middle + last;
    to[2 * to_step] = first - middle + last;
    to[3 * to_step] = first + middle * splat(2) + last * splat(4);
    to[4 * to_step] = last;
}

/* and of the gradient of products to that of an input. */
INLINE void to_input(const vec *v, long step, vec *to, long to_step) {
    vec a = v[0], b = v[step], c = v[2 * step], e = v[3 * step], f = v[4 * step];
    to[0] = a * splat(2);
    to[to_step] = (c - b + f) * splat(2) - a - e;
    to[2 * to_step] = splat(0) - a * splat(2) - b - c * splat(3) - f;
    to[3 * to_step] = a + b + c + e - f * splat(2);
    to[4 * to_step] = f;
}

/* Of rows and columns: from [before][before] to [after][after]. */
#define TRANSFORM(transform, before, after, from, to)                                                  \
    do {                                                                                               \
        vec half[PRODUCTS];                                                                            \
        UNROLL for (int i = 0; i < before; i++) transform(from + i * before, 1, half + i * after, 1);  \
        UNROLL for (int i = 0; i < after; i++) transform(half + i, after, to + i, after);              \
    } while (0)

/* Every value of a square: UNROLL goes no further than 16. */
#define EACH_OF(side) UNROLL for (int k = 0; k < side; k++) UNROLL for (int l = 0; l < side; l++)

/* Blocks of a strip as products take them. */
static void take_blocks(const Blocks *blocks, const REAL *strip, long rows, REAL *held) {
    long channels = blocks->plan.channels, row = blocks->plan.width * channels;
    long point = rows * blocks->across * channels;
    for (long i = 0; i < rows; i++, strip += SIDE * row)
        for (long j = 0; j < blocks->across; j++, held += channels)
            for (long c = 0; c < channels; c += LANES) {
                const REAL *at = strip + SIDE * j * channels + c;
                vec pixels[PRODUCTS], to[PRODUCTS];
                EACH_OF(POINTS) pixels[k * POINTS + l] = load(at + k * row + l * channels);
                TRANSFORM(of_input, POINTS, POINTS, pixels, to);
                EACH_OF(POINTS) store(held + (k * POINTS + l) * point + c, to[k * POINTS + l]);
            }
}

/* The gradients of what was held are added to a strip of them. */
static void give_blocks(const Blocks *blocks, const REAL *held, long rows, REAL *strip) {
    long channels = blocks->plan.channels, row = blocks->plan.width * channels;
    long point = rows * blocks->across * channels;
    for (long i = 0; i < rows; i++, strip += SIDE * row)
        for (long j = 0; j < blocks->across; j++, held += channels)
            for (long c = 0; c < channels; c += LANES) {
                REAL *at = strip + SIDE * j * channels + c;
                vec from[PRODUCTS], pixels[PRODUCTS];
                EACH_OF(POINTS) from[k * POINTS + l] = load(held + (k * POINTS + l) * point + c);
                TRANSFORM(to_input, POINTS, POINTS, from, pixels);
                EACH_OF(POINTS) {
                    REAL *one = at + k * row + l * channels;
                    store(one, load(one) + pixels[k * POINTS + l]);
                }
            }
}

/* Where some channels of a block are in an image of outputs: pixels are `step` values apart, rows `line`; how much of
   it is inside. */
typedef struct {
    REAL *at;
    long step, line, down, right, channels;
} Place;

/* whole: whether all pixels are inside, and the channels a vector; a constant where it is inlined. */
INLINE void give_pixels(int whole, const Place *place, const REAL *products, long point, long add) {
    long left = whole ? LANES : place->channels;
    vec from[PRODUCTS], pixels[SIDE * SIDE];
    EACH_OF(POINTS) from[k * POINTS + l] = load(products + (k * POINTS + l) * point);
    EACH_OF(SIDE) prefetch(place->at + k * place->line + (l + BLOCKS_AHEAD * SIDE) * place->step);
    TRANSFORM(of_products, POINTS, SIDE, from, pixels);
    EACH_OF(SIDE) {
        if (!whole && (k >= place->down || l >= place->right)) continue;
        REAL *at = place->at + k * place->line + l * place->step;
        vec value = pixels[k * SIDE + l];
        if (add) value += load_some(at, left);
        store_some(at, value, left);
    }
}

INLINE void take_pixels(int whole, const Place *place, REAL *products, long point) {
    long left = whole ? LANES : place->channels;
    vec pixels[SIDE * SIDE], to[PRODUCTS];
    EACH_OF(SIDE) {
        const REAL *at = place->at + k * place->line + l * place->step;
        prefetch(at + BLOCKS_AHEAD * SIDE * place->step);
        pixels[k * SIDE + l] = splat(0);
        if (whole || (k < place->down && l < place->right)) pixels[k * SIDE + l] = load_some(at, left);
    }
    TRANSFORM(of_output, SIDE, POINTS, pixels, to);
    EACH_OF(POINTS) store_some(products + (k * POINTS + l) * point, to[k * POINTS + l], left);
}

/* Rows of blocks, from row `top` of an image on: outputs from products, or products from the gradients of outputs. */
INLINE void move_outputs(int give, const Blocks *blocks, const Output *outputs, long count, long sample, long group,
                         long top, long rows, REAL *products) {
    const Plan *plan = &blocks->plan;
    long point = rows * blocks->across * blocks->row;
    for (long i = 0; i < count; products += outputs[i].channels, i++) {
        Tile tile = {.row = top};
        Place place = {.step = plan->bank->groups * outputs[i].channels};
        place.line = plan->out_width * place.step;
        REAL *image = pixels_of(plan, &tile, &outputs[i], sample, group), *of_block = products;
        for (long down = 0; down < rows * SIDE; down += SIDE)
            for (long right = 0; right < blocks->across * SIDE; right += SIDE, of_block += blocks->row)
                for (long c = 0; c < outputs[i].channels; c += LANES) {
                    place.at = image + down * place.line + right * place.step + c;
                    place.down = plan->out_height - top - down, place.right = plan->out_width - right;
                    place.channels = outputs[i].channels - c;
                    int whole = place.down >= SIDE && place.right >= SIDE && place.channels >= LANES;
                    if (give && whole) give_pixels(1, &place, of_block + c, point, outputs[i].add);
                    else if (give) give_pixels(0, &place, of_block + c, point, outputs[i].add);
                    else if (whole) take_pixels(1, &place, of_block + c, point);
                    else take_pixels(0, &place, of_block + c, point);
                }
    }
}

/* The transform of a kernel. */
static const REAL OF_KERNEL[POINTS][SIDE] = {
    {1. / 2, 0, 0}, {-1. / 2, -1. / 2, -1. / 2}, {-1. / 6, 1. / 6, -1. / 6}, {1. / 6, 1. / 3, 2. / 3}, {0, 0, 1}};

/* Of values of one kind to those of another, [before][before][size] to [after][after][size]: to[i][j] is the sum over
   all [k][l] of matrix[i][k] matrix[j][l] from[k][l], where the matrix may lie transposed. */
static void transform_all(int before, int after, Matrix matrix, long size, const REAL *from, REAL *to) {
    for (long at = 0; at < size; at += LANES) {
        vec half[POINTS][POINTS];
        for (int i = 0; i < after; i++)
            for (int l = 0; l < before; l++) {
                half[i][l] = splat(0);
                for (int k = 0; k < before; k++)
                    half[i][l] += splat(entry(matrix, i, k)) * load(from + (k * before + l) * size + at);
            }
        for (int i = 0; i < after; i++)
            for (int j = 0; j < after; j++) {
                vec sum = splat(0);
                for (int l = 0; l < before; l++) sum += splat(entry(matrix, j, l)) * half[i][l];
                store(to + (i * after + j) * size + at, sum);
            }
    }
}

/* Which pixel of a kernel a tap of a primitive is, and its frozen values in a group. */
static long pixel_of_tap(const Bank *bank, long tap) { return (bank->down[tap] + 1) * SIDE + bank->right[tap] + 1; }

static const REAL *frozen_of(const Plan *plan, long place, long t, long group) {
    return plan->frozen + ((plan->first_row[place] + t) * plan->bank->groups + group) * plan->channels;
}

/* The weights of a group as the kernels of a convolution, [9][channels][row], and transformed: [25][channels][row]. */
static void transformed_weights(const Blocks *blocks, const REAL *weight, long group, REAL *kernels, REAL *to) {
    const Plan *plan = &blocks->plan;
    const Bank *bank = plan->bank;
    long size = bank->channels * blocks->row;
    memset(kernels, 0, SIDE * SIDE * size * sizeof(REAL));
    for (long o = 0; o < bank->outputs; o++)
        for (long place = 0; place < bank->primitives; place++, weight += bank->channels)
            for (long t = 0; t < bank->taps[place]; t++) {
                REAL *kernel = kernels + pixel_of_tap(bank, plan->first_tap[place] + t) * size + o;
                const REAL *frozen = frozen_of(plan, place, t, group);
                for (long c = 0; c < bank->channels; c++) kernel[c * blocks->row] += frozen[c] * weight[c];
            }
    transform_all(SIDE, POINTS, (Matrix){&OF_KERNEL[0][0], SIDE, 1}, size, kernels, to);
}

/* The gradient of the weights of a group, from that of the transformed ones, which lies in panels,
   [25][row / WIDE][channels][WIDE]. kernels: the same of those that are not transformed, made here. */
static void gradient_of_weights(const Blocks *blocks, const REAL *sums, long group, REAL *kernels, REAL *of_weight) {
    const Plan *plan = &blocks->plan;
    const Bank *bank = plan->bank;
    long size = bank->channels * rounded_up(blocks->row, WIDE);
    transform_all(POINTS, SIDE, (Matrix){&OF_KERNEL[0][0], 1, SIDE}, size, sums, kernels);
    for (long o = 0; o < bank->outputs; o++)
        for (long place = 0; place < bank->primitives; place++)
            for (long c = 0; c < bank->channels; c++, of_weight++) {
                const REAL *kernel = kernels + (o / WIDE * bank->channels + c) * WIDE + o % WIDE;
                *of_weight = 0;
                for (long t = 0; t < bank->taps[place]; t++)
                    *of_weight += kernel[pixel_of_tap(bank, plan->first_tap[place] + t) * size] *
                                  frozen_of(plan, place, t, group)[c];
            }
}

/* What a thread holds. */
typedef struct {
    REAL *strip, *of_strip, *held, *products;
    REAL *sums; /* for the gradients of the norm, where there is one */
} BlockScratch;

/* Values of the products of the blocks that are held. */
static long products_size(const Blocks *blocks) { return PRODUCTS * blocks->rows * blocks->across * blocks->row; }

static BlockScratch *block_scratch_of(Memory *memory, const Blocks *blocks, int back) {
    const Plan *plan = &blocks->plan;
    long features = PRODUCTS * blocks->rows * blocks->across * plan->channels;
    BlockScratch *all_threads = held(memory, plan->bank->threads, sizeof(BlockScratch), 0);
    for (long part = 0; part < plan->bank->threads; part++) {
        BlockScratch *scratch = all_threads + part;
        *scratch = (BlockScratch){.strip = alloc(memory, strip_size(plan)), .held = alloc(memory, features)};
        scratch->products = alloc(memory, products_size(blocks));
        if (!back) continue;
        scratch->of_strip = alloc(memory, strip_size(plan));
        if (plan->bank->norm) scratch->sums = alloc(memory, sums_size(plan->bank->norm));
    }
    return all_threads;
}

/* One image of one group. panels: the transformed weights, packed by output. */
static void blocks_forward(const Blocks *blocks, const REAL *x, const REAL *panels, const Output *outputs, long count,
                           long sample, long group, BlockScratch *scratch, Moments *moments) {
    const Plan *plan = &blocks->plan;
    const Bank *bank = plan->bank;
    const REAL *image = x + (sample * bank->height * bank->width * bank->groups + group) * bank->channels;
    for (long top = 0; top < plan->out_height; top += plan->strip) {
        long down = parts_of(min(plan->strip, plan->out_height - top), SIDE);
        take_strip(plan, image, group, top, rows_read(plan, down * SIDE), scratch->strip);
        for (long i = 0; i < down; i += blocks->rows) {
            long rows = min(blocks->rows, down - i), size = rows * blocks->across;
            const REAL *panel = panels;
            REAL *features = scratch->held, *products = scratch->products;
            take_blocks(blocks, scratch->strip + i * SIDE * plan->width * plan->channels, rows, features);
            for (int k = 0; k < PRODUCTS; k++, features += size * plan->channels, products += size * blocks->row)
                for (long o = 0; o < blocks->row; o += WIDE, panel += bank->channels * WIDE)
                    gemm_panel(size, bank->channels, (Matrix){features, plan->channels, 1}, panel, WIDE, products + o,
                            blocks->row, min(WIDE, blocks->row - o), 0);
            Tile done = {.row = top + i * SIDE};
            move_outputs(1, blocks, outputs, count, sample, group, done.row, rows, scratch->products);
            for (long j = 0; j < count; j++)
                if (outputs[j].mean)
                    count_in(&moments[j], pixels_of(plan, &done, &outputs[j], sample, group),
                             min(rows * SIDE, plan->out_height - done.row) * plan->out_width,
                             bank->groups * outputs[j].channels, group * outputs[j].channels, outputs[j].channels);
        }
    }
}

static void forward_by_blocks(Memory *memory, const Bank *bank, const REAL *x, const REAL *weight,
                              const Output *outputs, long count) {
    Blocks blocks = blocks_of(memory, bank);
    long size = bank->channels * blocks.row, of_group = PRODUCTS * bank->channels * rounded_up(blocks.row, WIDE);
    long weights = bank->outputs * bank->primitives * bank->channels;
    REAL *packed = alloc(memory, bank->groups * of_group), *to = packed;
    REAL *kernels = alloc(memory, SIDE * SIDE * size), *transformed = alloc(memory, PRODUCTS * size);
    for (long group = 0; group < bank->groups; group++) {
        transformed_weights(&blocks, weight + group * weights, group, kernels, transformed);
        for (int k = 0; k < PRODUCTS; k++)
            to = pack((Matrix){transformed + k * size, blocks.row, 1}, bank->channels, blocks.row, to);
    }
    Moments *moments = moments_for(memory, bank, outputs, count);
    BlockScratch *scratch = block_scratch_of(memory, &blocks, 0);
    #pragma omp parallel for schedule(static, 1) num_threads(bank->threads)
    for (long part = 0; part < bank->threads; part++) {
        memset(scratch[part].products, 0, products_size(&blocks) * sizeof(REAL));
        for (long sample = first_sample(bank, part); sample < first_sample(bank, part + 1); sample++)
            for (long group = 0; group < bank->groups; group++)
                blocks_forward(&blocks, x, packed + group * of_group, outputs, count, sample, group, scratch + part,
                               moments + part * count);
    }
    give_all_moments(memory, bank, outputs, count, moments);
}

/* One image of one group. panels: the transformed weights, packed by channel, NULL where the gradient of x is not
   wanted. of_weight: panels [25][row / WIDE][channels][WIDE], added to. */
static void blocks_backward(const Blocks *blocks, const REAL *x, const REAL *panels, const Output *outputs, long count,
                            long sample, long group, BlockScratch *scratch, REAL *of_x, REAL *of_weight) {
    const Plan *plan = &blocks->plan;
    const Bank *bank = plan->bank;
    long image = (sample * bank->height * bank->width * bank->groups + group) * bank->channels, done = 0;
    for (long top = 0; top < plan->out_height; top += plan->strip) {
        long down = parts_of(min(plan->strip, plan->out_height - top), SIDE), read = rows_read(plan, down * SIDE);
        take_strip(plan, x + image, group, top, read, scratch->strip);
        if (panels) memset(scratch->of_strip, 0, read * plan->width * plan->channels * sizeof(REAL));
        for (long i = 0; i < down; i += blocks->rows) {
            long rows = min(blocks->rows, down - i), size = rows * blocks->across;
            long at = i * SIDE * plan->width * plan->channels;
            const REAL *panel = panels;
            REAL *features = scratch->held, *gradients = scratch->products, *sums = of_weight;
            take_blocks(blocks, scratch->strip + at, rows, features);
            move_outputs(0, blocks, outputs, count, sample, group, top + i * SIDE, rows, gradients);
            for (int k = 0; k < PRODUCTS; k++, features += size * plan->channels, gradients += size * blocks->row) {
                for (long o = 0; o < blocks->row; o += WIDE, sums += bank->channels * WIDE)
                    gemm_panel(bank->channels, size, (Matrix){features, 1, plan->channels}, gradients + o, blocks->row,
                            sums, WIDE, min(WIDE, blocks->row - o), 1);
                for (long c = 0; panels && c < bank->channels; c += WIDE, panel += bank->outputs * WIDE)
                    gemm_panel(size, bank->outputs, (Matrix){gradients, blocks->row, 1}, panel, WIDE, features + c,
                            plan->channels, min(WIDE, bank->channels - c), 0);
            }
            if (panels) give_blocks(blocks, scratch->held, rows, scratch->of_strip + at);
        }
        if (panels) done = give_strip(plan, scratch->of_strip, top, read, done, of_x + image);
    }
    if (panels) no_rows(plan, done, bank->height, of_x + image);
}

static void backward_by_blocks(Memory *memory, const Bank *bank, const REAL *x, const REAL *weight,
                               const Output *outputs, long count, REAL *of_x, REAL *of_weight, REAL *of_norm) {
    Blocks blocks = blocks_of(memory, bank);
    long size = bank->channels * blocks.row, packed_size = PRODUCTS * bank->outputs * rounded_up(bank->channels, WIDE);
    long weights = bank->outputs * bank->primitives * bank->channels;
    long panels = bank->channels * rounded_up(blocks.row, WIDE), of_group = PRODUCTS * panels;
    REAL *packed = of_x ? alloc(memory, bank->groups * packed_size) : NULL, *to = packed;
    REAL *kernels = alloc(memory, SIDE * SIDE * panels), *transformed = alloc(memory, PRODUCTS * size);
    for (long group = 0; packed && group < bank->groups; group++) {
        transformed_weights(&blocks, weight + group * weights, group, kernels, transformed);
        for (int k = 0; k < PRODUCTS; k++)
            to = pack((Matrix){transformed + k * size, 1, blocks.row}, bank->outputs, bank->channels, to);
    }
    long all_groups = bank->groups * of_group, features = bank->groups * bank->channels;
    REAL *sums = alloc(memory, bank->threads * all_groups);
    memset(sums, 0, bank->threads * all_groups * sizeof(REAL));
    double *norm_sums = alloc_doubles(memory, 2 * features * bank->threads);
    BlockScratch *of_threads = block_scratch_of(memory, &blocks, 1);
    #pragma omp parallel for schedule(static, 1) num_threads(bank->threads)
    for (long part = 0; part < bank->threads; part++) {
        BlockScratch *scratch = of_threads + part;
        memset(scratch->products, 0, products_size(&blocks) * sizeof(REAL));
        for (long sample = first_sample(bank, part); sample < first_sample(bank, part + 1); sample++) {
            for (long group = 0; group < bank->groups; group++)
                blocks_backward(&blocks, x, packed ? packed + group * packed_size : NULL, outputs, count, sample, group,
                                scratch, of_x, sums + part * all_groups + group * of_group);
            add_norm_sums(&blocks.plan, x, of_x, sample, scratch->sums, norm_sums + 2 * features * part);
        }
    }
    for (long i = all_groups; i < bank->threads * all_groups; i++) sums[i % all_groups] += sums[i];
    for (long group = 0; group < bank->groups; group++)
        gradient_of_weights(&blocks, sums + group * of_group, group, kernels, of_weight + group * weights);
    if (bank->norm)
        gradients_from_sums(memory, bank->norm, &blocks.plan.line, x, of_x, norm_sums, of_x, of_norm,
                            of_norm + features);
}

/* Whether blocks take less time than responses, in multiply-accumulates for a pixel of a group: three products, and
   what goes with every tap, with every channel of a block, and with every output. Measured with AVX2. */
static int blocks_are_faster(const Bank *bank) {
    long taps = 0, channels = bank->channels, outputs = bank->outputs, across = parts_of(bank->width, SIDE);
    for (long i = 0; i < bank->primitives; taps += bank->taps[i], i++)
        if (bank->kinds[i] != LINEAR) return 0;
    for (long t = 0; t < taps; t++)
        if (labs(bank->down[t]) > 1 || labs(bank->right[t]) > 1) return 0;
    if (bank->stride > 1 || PRODUCTS * across * (channels + outputs) > HELD_OF_BLOCKS) return 0;
    double responses = 3. * bank->primitives * channels * outputs + 8. * taps * channels;
    double of_block = 3.5 * PRODUCTS * channels * outputs + 9 * (60. * channels + 50. * outputs);
    return of_block * across * parts_of(bank->height, SIDE) < responses * bank->height * bank->width;
}
