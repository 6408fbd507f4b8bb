/* A bank of primitives and the learned recombination of its responses, in one pass, and its gradients: by the responses
   themselves. winograd.h has another way, and chooses.

   Images are [batch][height][width][groups * channels], weights [groups][outputs][primitives][channels]. Of every image
   a strip of rows is copied with zeros around it; of a strip the responses of a tile of pixels are made, as many as fit
   into the cache, and multiplied with the weights. For the gradients they are made again.

   Where the features that are read have a norm, they are normalised as they are copied (norm.h), and where those that
   are made have one, its moments are counted while they are in the cache. */

/* Pixels whose responses are held, and responses of a pixel: together 120 KB in float, which stay in the second cache
   of a core (256 KB and more) beside the weights. With fewer, the weights would be read more often. */
#define TILE 96
#define DEPTH 320
#define STRIP 65536  /* features of a strip, 256 KB: it is read in rows, and may come from the third cache */
#define AHEAD 12     /* pixels that are asked for before they are written, about as long as a line takes to come, */
#define FAR_AHEAD 48 /* and before they are read: memory is far away. Further, they would have been pushed out again. */
#define MOST_TAPS 9  /* of a 3x3 kernel; weights of so many fit into the registers */
#define MASK 8       /* height and width of the mask of a perturbation, as in primitives/perturbation.py */

enum { LINEAR, MAX_POOL, PERTURBATION };

typedef struct {
    long batch, height, width, channels, groups, stride, outputs, primitives, threads;
    const long *kinds, *taps; /* of each primitive */
    const long *down, *right; /* of each tap of all primitives, in pixels */
    const REAL *frozen;       /* [rows][groups * channels]: a row for each tap of a kernel, MASK * MASK for a mask */
    const Norm *norm;         /* of x; NULL where x is read as it is */
} Bank;

/* An output, or the gradient of one: [batch][height][width][groups * channels]. */
typedef struct {
    REAL *data;
    long channels; /* of one group */
    long add;      /* whether it holds something that is added to */
    REAL *mean, *variance; /* of every channel, made where they are not NULL */
} Output;

typedef struct {
    const Bank *bank;
    long channels;                /* as they are held: whole vectors */
    long reach;                   /* pixels that a tap is away at most */
    long width;                   /* pixels of a row of a strip */
    long out_height, out_width;
    long strip;                   /* rows of the output that come from a strip */
    long tile_rows, tile_columns; /* of the output */
    long together;                /* primitives whose responses are held */
    long row;                     /* values of a row of responses */
    long *first_tap, *first_row;  /* of each primitive */
    long *offsets;                /* of each tap, in values of a strip */
    REAL *frozen;                 /* [rows][groups][channels] */
    Line line;                    /* of the norm, where there is one */
} Plan;

/* Pixels of the output, and where the first of them is in a strip. */
typedef struct {
    long row, column, rows, columns, place;
} Tile;

static Plan plan_of(Memory *memory, const Bank *bank) {
    Plan plan = {.bank = bank, .channels = rounded_up(bank->channels, LANES)};
    long taps = 0, rows = 0;
    plan.first_tap = alloc_longs(memory, bank->primitives);
    plan.first_row = alloc_longs(memory, bank->primitives);
    for (long i = 0; i < bank->primitives; i++) {
        plan.first_tap[i] = taps;
        plan.first_row[i] = rows;
        taps += bank->taps[i];
        rows += bank->kinds[i] == LINEAR ? bank->taps[i] : bank->kinds[i] == PERTURBATION ? MASK * MASK : 0;
    }
    for (long t = 0; t < taps; t++) plan.reach = max(plan.reach, max(labs(bank->down[t]), labs(bank->right[t])));
    plan.width = bank->width + 2 * plan.reach + bank->stride - 1;
    plan.offsets = alloc_longs(memory, taps);
    for (long t = 0; t < taps; t++) plan.offsets[t] = (bank->down[t] * plan.width + bank->right[t]) * plan.channels;
    plan.out_height = parts_of(bank->height, bank->stride);
    plan.out_width = parts_of(bank->width, bank->stride);
    long fit = max(1, (STRIP / (plan.width * plan.channels) - 2 * plan.reach) / bank->stride);
    plan.strip = parts_of(plan.out_height, parts_of(plan.out_height, min(fit, plan.out_height)));
    plan.tile_columns = min(plan.out_width, TILE);
    plan.tile_rows = min(plan.strip, max(1, TILE / plan.out_width));
    plan.together = min(bank->primitives, max(1, DEPTH / bank->channels));
    plan.row = plan.together * bank->channels + LANES;
    plan.frozen = alloc(memory, rows * bank->groups * plan.channels);
    for (long i = 0; i < rows * bank->groups; i++)
        for (long c = 0; c < plan.channels; c++)
            plan.frozen[i * plan.channels + c] = c < bank->channels ? bank->frozen[i * bank->channels + c] : 0;
    if (bank->norm) plan.line = line_of(memory, bank->norm);
    return plan;
}

/* Rows of the input that a strip of the output reads. */
static long rows_read(const Plan *plan, long rows) { return (rows - 1) * plan->bank->stride + 1 + 2 * plan->reach; }
static long strip_size(const Plan *plan) { return rows_read(plan, plan->strip) * plan->width * plan->channels; }
static long tile_size(const Plan *plan) { return plan->tile_rows * plan->tile_columns; }

/* What the rows of a strip hold of an image, normalised; and the other way round. */
static void take_strip(const Plan *plan, const REAL *image, long group, long top, long rows, REAL *strip) {
    const Bank *bank = plan->bank;
    long first = group * bank->channels, step = bank->groups * bank->channels, size = plan->width * plan->channels;
    for (long i = 0; i < rows; i++, strip += size) {
        long row = top - plan->reach + i;
        int inside = row >= 0 && row < bank->height;
        const REAL *from = image + row * bank->width * step;
        REAL *to = strip + plan->reach * plan->channels;
        memset(strip, 0, (inside ? plan->reach * plan->channels : size) * sizeof(REAL));
        if (!inside) continue;
        for (long j = 0; j < bank->width; j++, from += step, to += plan->channels)
            for (long c = 0; c < bank->channels; c += LANES) {
                prefetch_later(from + FAR_AHEAD * step + c);
                vec value = load_some(from + c, bank->channels - c);
                store(to + c, bank->norm ? normalised(bank->norm, &plan->line, first + c, value) : value);
            }
        memset(to, 0, (strip + size - to) * sizeof(REAL));
    }
}

/* Rows that no strip reads: between or beyond those of a stride. */
static long no_rows(const Plan *plan, long done, long last, REAL *image) {
    long step = plan->bank->groups * plan->bank->channels;
    for (long pixel = done * plan->bank->width; pixel < last * plan->bank->width; pixel++)
        memset(image + pixel * step, 0, plan->bank->channels * sizeof(REAL));
    return max(done, last);
}

/* done: rows of the image that were given by strips above. Returned: with those of this one. */
static long give_strip(const Plan *plan, const REAL *strip, long top, long rows, long done, REAL *image) {
    const Bank *bank = plan->bank;
    long step = bank->groups * bank->channels;
    done = no_rows(plan, done, top - plan->reach, image);
    for (long i = 0; i < rows; i++, strip += plan->width * plan->channels) {
        long row = top - plan->reach + i;
        if (row < 0 || row >= bank->height) continue;
        const REAL *from = strip + plan->reach * plan->channels;
        REAL *to = image + row * bank->width * step;
        for (long j = 0; j < bank->width; j++, from += plan->channels, to += step)
            for (long c = 0; c < bank->channels; c += LANES) {
                long left = bank->channels - c;
                prefetch(to + AHEAD * step + c);
                vec value = load(from + c);
                if (row < done) value += load_some(to + c, left);
                store_some(to + c, value, left);
            }
    }
    return min(bank->height, top - plan->reach + rows);
}

/* Of a linear primitive. taps: a constant where it is inlined. */
INLINE void filter(int taps, const Plan *plan, const Tile *tile, const long *offsets, const REAL *kernel,
                   const REAL *strip, REAL *responses) {
    long step = plan->bank->stride * plan->channels, kernel_row = plan->bank->groups * plan->channels;
    for (long c = 0; c < plan->bank->channels; c += LANES) {
        vec weights[MOST_TAPS];
        UNROLL for (int t = 0; t < taps; t++) weights[t] = load(kernel + t * kernel_row + c);
        for (long i = 0; i < tile->rows; i++) {
            const REAL *from = strip + tile->place + i * step * plan->width + c;
            REAL *to = responses + i * tile->columns * plan->row + c;
            for (long j = 0; j < tile->columns; j++, from += step, to += plan->row) {
                vec sum = splat(0);
                UNROLL for (int t = 0; t < taps; t++) sum += weights[t] * load(from + offsets[t]);
                store(to, sum);
            }
        }
    }
}

INLINE void filter_back(int taps, const Plan *plan, const Tile *tile, const long *offsets, const REAL *kernel,
                        const REAL *gradients, REAL *strip) {
    long step = plan->bank->stride * plan->channels, kernel_row = plan->bank->groups * plan->channels;
    for (long c = 0; c < plan->bank->channels; c += LANES) {
        vec weights[MOST_TAPS];
        UNROLL for (int t = 0; t < taps; t++) weights[t] = load(kernel + t * kernel_row + c);
        for (long i = 0; i < tile->rows; i++) {
            const REAL *from = gradients + i * tile->columns * plan->row + c;
            REAL *to = strip + tile->place + i * step * plan->width + c;
            for (long j = 0; j < tile->columns; j++, from += plan->row, to += step) {
                vec gradient = load(from);
                UNROLL for (int t = 0; t < taps; t++)
                    store(to + offsets[t], load(to + offsets[t]) + weights[t] * gradient);
            }
        }
    }
}

/* Which taps of a pixel are inside the image; how many. */
static int taps_inside(const Plan *plan, const Tile *tile, long place, long i, long j, long *inside) {
    const Bank *bank = plan->bank;
    int count = 0;
    for (long t = plan->first_tap[place]; t < plan->first_tap[place] + bank->taps[place]; t++) {
        long row = (tile->row + i) * bank->stride + bank->down[t];
        long column = (tile->column + j) * bank->stride + bank->right[t];
        if (row >= 0 && row < bank->height && column >= 0 && column < bank->width) inside[count++] = plan->offsets[t];
    }
    return count;
}

static void pool(const Plan *plan, const Tile *tile, long place, const REAL *strip, REAL *responses) {
    long step = plan->bank->stride * plan->channels, inside[MOST_TAPS];
    for (long i = 0; i < tile->rows; i++)
        for (long j = 0; j < tile->columns; j++, responses += plan->row) {
            const REAL *from = strip + tile->place + (i * plan->width + j) * step;
            int count = taps_inside(plan, tile, place, i, j, inside);
            for (long c = 0; c < plan->bank->channels; c += LANES) {
                vec largest = load(from + inside[0] + c);
                for (int t = 1; t < count; t++) {
                    vec one = load(from + inside[t] + c);
                    largest = choose((one > largest) | (one != one), one, largest);
                }
                store(responses + c, largest);
            }
        }
}

/* The gradient goes to the first of the largest, as torch has it. */
static void pool_back(const Plan *plan, const Tile *tile, long place, const REAL *values, const REAL *gradients,
                      REAL *strip) {
    long step = plan->bank->stride * plan->channels, inside[MOST_TAPS];
    for (long i = 0; i < tile->rows; i++)
        for (long j = 0; j < tile->columns; j++, gradients += plan->row) {
            long at = tile->place + (i * plan->width + j) * step;
            int count = taps_inside(plan, tile, place, i, j, inside);
            for (long c = 0; c < plan->bank->channels; c += LANES) {
                vec largest = load(values + at + inside[0] + c), left = load(gradients + c);
                for (int t = 1; t < count; t++) {
                    vec one = load(values + at + inside[t] + c);
                    largest = choose(one > largest, one, largest);
                }
                for (int t = 0; t < count; t++) {
                    REAL *to = strip + at + inside[t] + c;
                    mask here = load(values + at + inside[t] + c) == largest;
                    store(to, load(to) + choose(here, left, splat(0)));
                    left = choose(here, splat(0), left);
                }
            }
        }
}

static const REAL *noise_at(const Plan *plan, const Tile *tile, long place, long group, long i, long j) {
    long row = (tile->row + i) * plan->bank->stride % MASK, column = (tile->column + j) * plan->bank->stride % MASK;
    long of_mask = plan->first_row[place] + row * MASK + column;
    return plan->frozen + (of_mask * plan->bank->groups + group) * plan->channels;
}

static void perturb(const Plan *plan, const Tile *tile, long place, long group, const REAL *strip, REAL *responses) {
    long step = plan->bank->stride * plan->channels;
    for (long i = 0; i < tile->rows; i++)
        for (long j = 0; j < tile->columns; j++, responses += plan->row) {
            const REAL *from = strip + tile->place + (i * plan->width + j) * step;
            const REAL *noise = noise_at(plan, tile, place, group, i, j);
            for (long c = 0; c < plan->bank->channels; c += LANES) {
                vec sum = load(from + c) + load(noise + c);
                store(responses + c, choose(sum <= 0, splat(0), sum));
            }
        }
}

static void perturb_back(const Plan *plan, const Tile *tile, long place, long group, const REAL *values,
                         const REAL *gradients, REAL *strip) {
    long step = plan->bank->stride * plan->channels;
    for (long i = 0; i < tile->rows; i++)
        for (long j = 0; j < tile->columns; j++, gradients += plan->row) {
            long at = tile->place + (i * plan->width + j) * step;
            const REAL *noise = noise_at(plan, tile, place, group, i, j);
            for (long c = 0; c < plan->bank->channels; c += LANES) {
                vec sum = load(values + at + c) + load(noise + c);
                store(strip + at + c, load(strip + at + c) + choose(sum <= 0, splat(0), load(gradients + c)));
            }
        }
}

#define ONE_OF(function, count, ...) case count: function(count, __VA_ARGS__); break;
#define BY_TAPS(function, taps, ...)                                                                            \
    switch (taps) {                                                                                             \
        ONE_OF(function, 1, __VA_ARGS__) ONE_OF(function, 2, __VA_ARGS__) ONE_OF(function, 3, __VA_ARGS__)       \
        ONE_OF(function, 4, __VA_ARGS__) ONE_OF(function, 5, __VA_ARGS__) ONE_OF(function, 6, __VA_ARGS__)       \
        ONE_OF(function, 7, __VA_ARGS__) ONE_OF(function, 8, __VA_ARGS__) ONE_OF(function, 9, __VA_ARGS__)       \
    }

/* The responses of the primitives `from` to `to` to a tile, [pixels][primitives * channels]. What a vector has beyond
   the channels of one primitive the next one overwrites. */
static void respond(const Plan *plan, const Tile *tile, long group, long from, long to, const REAL *strip, REAL *held) {
    for (long place = from; place < to; place++, held += plan->bank->channels) {
        const REAL *kernel = plan->frozen + (plan->first_row[place] * plan->bank->groups + group) * plan->channels;
        const long *offsets = plan->offsets + plan->first_tap[place];
        long kind = plan->bank->kinds[place], taps = plan->bank->taps[place];
        if (kind == MAX_POOL) pool(plan, tile, place, strip, held);
        else if (kind == PERTURBATION) perturb(plan, tile, place, group, strip, held);
        else BY_TAPS(filter, taps, plan, tile, offsets, kernel, strip, held)
    }
}

/* The gradient of a strip, from that of the responses; `strip` is what they were made from. */
static void respond_back(const Plan *plan, const Tile *tile, long group, long from, long to, const REAL *strip,
                         const REAL *held, REAL *of_strip) {
    for (long place = from; place < to; place++, held += plan->bank->channels) {
        const REAL *kernel = plan->frozen + (plan->first_row[place] * plan->bank->groups + group) * plan->channels;
        const long *offsets = plan->offsets + plan->first_tap[place];
        long kind = plan->bank->kinds[place], taps = plan->bank->taps[place];
        if (kind == MAX_POOL) pool_back(plan, tile, place, strip, held, of_strip);
        else if (kind == PERTURBATION) perturb_back(plan, tile, place, group, strip, held, of_strip);
        else BY_TAPS(filter_back, taps, plan, tile, offsets, kernel, held, of_strip)
    }
}

/* A matrix [rows][columns] in panels [columns / WIDE][rows][WIDE], zeros at the end of the last one. */
static REAL *pack(Matrix from, long rows, long columns, REAL *to) {
    for (long first = 0; first < columns; first += WIDE)
        for (long i = 0; i < rows; i++)
            for (long j = 0; j < WIDE; j++)
                *to++ = first + j < columns ? entry(from, i, first + j) : 0;
    return to;
}

/* A tile of a strip; and the one after it, which has no rows after the last one. */
static Tile tile_at(const Plan *plan, long row, long column, long top, long bottom) {
    Tile tile = {.row = row, .column = column};
    tile.rows = min(plan->tile_rows, bottom - row);
    tile.columns = min(plan->tile_columns, plan->out_width - column);
    long down = (row - top) * plan->bank->stride + plan->reach, right = column * plan->bank->stride + plan->reach;
    tile.place = (down * plan->width + right) * plan->channels;
    return tile;
}

static Tile tile_after(const Plan *plan, const Tile *tile, long top, long bottom) {
    if (tile->column + tile->columns < plan->out_width)
        return tile_at(plan, tile->row, tile->column + tile->columns, top, bottom);
    return tile_at(plan, tile->row + tile->rows, 0, top, bottom);
}

static long pixel_of(const Plan *plan, const Tile *tile, long sample) {
    return (sample * plan->out_height + tile->row) * plan->out_width + tile->column;
}

static REAL *pixels_of(const Plan *plan, const Tile *tile, const Output *output, long sample, long group) {
    return output->data + (pixel_of(plan, tile, sample) * plan->bank->groups + group) * output->channels;
}

/* One image of one group. panels: the weights, packed by output; moments: of each output. */
static void image_forward(const Plan *plan, const REAL *x, const REAL *panels, const Output *outputs, long count,
                          long sample, long group, REAL *strip, REAL *held, Moments *moments) {
    const Bank *bank = plan->bank;
    long depth = bank->primitives * bank->channels;
    const REAL *image = x + (sample * bank->height * bank->width * bank->groups + group) * bank->channels;
    for (long top = 0; top < plan->out_height; top += plan->strip) {
        long bottom = min(plan->out_height, top + plan->strip);
        take_strip(plan, image, group, top * bank->stride, rows_read(plan, bottom - top), strip);
        for (Tile tile = tile_at(plan, top, 0, top, bottom); tile.rows; tile = tile_after(plan, &tile, top, bottom)) {
            long pixel_count = tile.rows * tile.columns;
            for (long from = 0; from < bank->primitives; from += plan->together) {
                long to = min(bank->primitives, from + plan->together), held_depth = (to - from) * bank->channels;
                respond(plan, &tile, group, from, to, strip, held);
                const REAL *panel = panels + from * bank->channels * WIDE;
                for (long i = 0; i < count; i++) {
                    long row = bank->groups * outputs[i].channels;
                    REAL *pixels = pixels_of(plan, &tile, &outputs[i], sample, group);
                    for (long o = 0; o < outputs[i].channels; o += WIDE, panel += depth * WIDE)
                        gemm_panel(pixel_count, held_depth, (Matrix){held, plan->row, 1}, panel, WIDE, pixels + o,
                                row, min(WIDE, outputs[i].channels - o), from > 0 || outputs[i].add);
                }
            }
            for (long i = 0; i < count; i++)
                if (outputs[i].mean)
                    count_in(&moments[i], pixels_of(plan, &tile, &outputs[i], sample, group), pixel_count,
                             bank->groups * outputs[i].channels, group * outputs[i].channels, outputs[i].channels);
        }
    }
}

/* The samples go to as many parts as there are threads, what is added over them is so in their order: the result does
   not depend on which thread was first. */
static long first_sample(const Bank *bank, long part) { return part * bank->batch / bank->threads; }

/* Of every part of the samples, of each output. */
static Moments *moments_for(Memory *memory, const Bank *bank, const Output *outputs, long count) {
    Moments *moments = several_moments(memory, bank->threads * count);
    for (long i = 0; i < bank->threads * count; i++)
        moments[i] = moments_of(memory, bank->groups * outputs[i % count].channels);
    return moments;
}

static void give_all_moments(Memory *memory, const Bank *bank, const Output *outputs, long count,
                             const Moments *moments) {
    for (long i = 0; i < count; i++)
        if (outputs[i].mean)
            give_moments(memory, moments + i, bank->threads, count, bank->groups * outputs[i].channels, outputs[i].mean,
                         outputs[i].variance);
}

/* What a thread holds. */
typedef struct {
    REAL *strip, *of_strip, *held, *gradients;
    long row;   /* values of a row of gradients: whole vectors */
    REAL *sums; /* for the gradients of the norm, where there is one */
} Scratch;

static Scratch *scratch_of(Memory *memory, const Plan *plan, int back) {
    Scratch *all_threads = held(memory, plan->bank->threads, sizeof(Scratch), 0);
    for (long part = 0; part < plan->bank->threads; part++) {
        Scratch *scratch = all_threads + part;
        *scratch = (Scratch){.row = rounded_up(plan->bank->outputs, LANES)};
        scratch->strip = alloc(memory, strip_size(plan));
        scratch->held = alloc(memory, tile_size(plan) * plan->row);
        if (!back) continue;
        scratch->of_strip = alloc(memory, strip_size(plan));
        scratch->gradients = alloc(memory, tile_size(plan) * scratch->row);
        if (plan->bank->norm) scratch->sums = alloc(memory, sums_size(plan->bank->norm));
    }
    return all_threads;
}

static void forward_by_responses(Memory *memory, const Bank *bank, const REAL *x, const REAL *weight,
                                 const Output *outputs, long count) {
    Plan plan = plan_of(memory, bank);
    long depth = bank->primitives * bank->channels, panels = 0;
    for (long i = 0; i < count; i++) panels += parts_of(outputs[i].channels, WIDE);
    REAL *packed = alloc(memory, bank->groups * panels * depth * WIDE), *to = packed;
    for (long group = 0; group < bank->groups; group++)
        for (long i = 0; i < count; weight += outputs[i].channels * depth, i++)
            to = pack((Matrix){weight, 1, depth}, depth, outputs[i].channels, to);
    Moments *moments = moments_for(memory, bank, outputs, count);
    Scratch *scratch = scratch_of(memory, &plan, 0);
    #pragma omp parallel for schedule(static, 1) num_threads(bank->threads)
    for (long part = 0; part < bank->threads; part++)
        for (long sample = first_sample(bank, part); sample < first_sample(bank, part + 1); sample++)
            for (long group = 0; group < bank->groups; group++)
                image_forward(&plan, x, packed + group * panels * depth * WIDE, outputs, count, sample, group,
                              scratch[part].strip, scratch[part].held, moments + part * count);
    give_all_moments(memory, bank, outputs, count, moments);
}

/* Zeros where vectors are read beyond what a row has. */
static void clear_ends_of_rows(const Plan *plan, Scratch *scratch) {
    memset(scratch->held, 0, tile_size(plan) * plan->row * sizeof(REAL));
    memset(scratch->gradients, 0, tile_size(plan) * scratch->row * sizeof(REAL));
}

/* Gradients of a tile of all outputs, side by side; those of the next tile are asked for. */
static void take_gradients(const Plan *plan, const Tile *tile, const Output *outputs, long count, long sample,
                           long group, Scratch *scratch) {
    long first = 0, pixels = tile->rows * tile->columns;
    for (long i = 0; i < count; first += outputs[i].channels, i++) {
        long row = plan->bank->groups * outputs[i].channels;
        const REAL *from = pixels_of(plan, tile, &outputs[i], sample, group);
        for (long pixel = 0; pixel < pixels; pixel++) {
            const REAL *at = from + pixel * row;
            REAL *to = scratch->gradients + pixel * scratch->row + first;
            for (long c = 0; c < outputs[i].channels; c += LANES) {
                long left = outputs[i].channels - c;
                prefetch(at + pixels * row + c);
                store_some(to + c, load_some(at + c, left), left);
            }
        }
    }
}

/* One image of one group. panels: the weights by what is held together, NULL where the gradient of x is not wanted.
   of_weight: panels [outputs / WIDE][primitives * channels][WIDE], added to. */
static void image_backward(const Plan *plan, const REAL *x, const REAL *panels, const Output *outputs, long count,
                           long sample, long group, Scratch *scratch, REAL *of_x, REAL *of_weight) {
    const Bank *bank = plan->bank;
    long image = (sample * bank->height * bank->width * bank->groups + group) * bank->channels, done = 0;
    for (long top = 0; top < plan->out_height; top += plan->strip) {
        long bottom = min(plan->out_height, top + plan->strip), rows = rows_read(plan, bottom - top);
        take_strip(plan, x + image, group, top * bank->stride, rows, scratch->strip);
        if (panels) memset(scratch->of_strip, 0, rows * plan->width * plan->channels * sizeof(REAL));
        for (Tile tile = tile_at(plan, top, 0, top, bottom); tile.rows; tile = tile_after(plan, &tile, top, bottom)) {
            long pixels = tile.rows * tile.columns;
            const REAL *panel = panels;
            take_gradients(plan, &tile, outputs, count, sample, group, scratch);
            for (long from = 0; from < bank->primitives; from += plan->together) {
                long to = min(bank->primitives, from + plan->together), depth = (to - from) * bank->channels;
                respond(plan, &tile, group, from, to, scratch->strip, scratch->held);
                REAL *sums = of_weight + from * bank->channels * WIDE;
                for (long o = 0; o < scratch->row; o += WIDE, sums += bank->primitives * bank->channels * WIDE)
                    gemm_panel(depth, pixels, (Matrix){scratch->held, 1, plan->row}, scratch->gradients + o,
                               scratch->row, sums, WIDE, min(WIDE, scratch->row - o), 1);
                if (!panels) continue;
                for (long k = 0; k < depth; k += WIDE, panel += bank->outputs * WIDE)
                    gemm_panel(pixels, bank->outputs, (Matrix){scratch->gradients, scratch->row, 1}, panel, WIDE,
                            scratch->held + k, plan->row, min(WIDE, depth - k), 0);
                respond_back(plan, &tile, group, from, to, scratch->strip, scratch->held, scratch->of_strip);
            }
        }
        if (panels) done = give_strip(plan, scratch->of_strip, top * bank->stride, rows, done, of_x + image);
    }
    if (panels) no_rows(plan, done, bank->height, of_x + image);
}

/* What the gradients of the norm, where there is one, take from a sample. */
static void add_norm_sums(const Plan *plan, const REAL *x, const REAL *of_x, long sample, REAL *plain, double *sums) {
    const Bank *bank = plan->bank;
    long pixels = bank->height * bank->width;
    if (bank->norm) add_sums(bank->norm, &plan->line, x, of_x, sample * pixels, (sample + 1) * pixels, plain, sums);
}

static void backward_by_responses(Memory *memory, const Bank *bank, const REAL *x, const REAL *weight,
                                  const Output *outputs, long count, REAL *of_x, REAL *of_weight, REAL *of_norm) {
    Plan plan = plan_of(memory, bank);
    long depth = bank->primitives * bank->channels, at_a_time = plan.together * bank->channels, panels = 0;
    for (long from = 0; from < depth; from += at_a_time) panels += parts_of(min(at_a_time, depth - from), WIDE);
    REAL *packed = of_x ? alloc(memory, bank->groups * panels * bank->outputs * WIDE) : NULL, *to = packed;
    for (long group = 0; packed && group < bank->groups; group++)
        for (long from = 0; from < depth; from += at_a_time)
            to = pack((Matrix){weight + group * bank->outputs * depth + from, depth, 1}, bank->outputs,
                      min(at_a_time, depth - from), to);
    long of_group = rounded_up(bank->outputs, WIDE) * depth, size = bank->groups * of_group;
    REAL *sums = alloc(memory, bank->threads * size);
    memset(sums, 0, bank->threads * size * sizeof(REAL));
    long features = bank->groups * bank->channels;
    double *norm_sums = alloc_doubles(memory, 2 * features * bank->threads);
    Scratch *of_threads = scratch_of(memory, &plan, 1);
    #pragma omp parallel for schedule(static, 1) num_threads(bank->threads)
    for (long part = 0; part < bank->threads; part++) {
        Scratch *scratch = of_threads + part;
        clear_ends_of_rows(&plan, scratch);
        for (long sample = first_sample(bank, part); sample < first_sample(bank, part + 1); sample++) {
            for (long group = 0; group < bank->groups; group++)
                image_backward(&plan, x, packed ? packed + group * panels * bank->outputs * WIDE : NULL, outputs, count,
                               sample, group, scratch, of_x, sums + part * size + group * of_group);
            add_norm_sums(&plan, x, of_x, sample, scratch->sums, norm_sums + 2 * features * part);
        }
    }
    for (long group = 0; group < bank->groups; group++)
        for (long o = 0; o < bank->outputs; o++)
            for (long k = 0; k < depth; k++, of_weight++) {
                *of_weight = 0;
                for (long part = 0; part < bank->threads; part++)
                    *of_weight += sums[part * size + group * of_group + (o / WIDE * depth + k) * WIDE + o % WIDE];
            }
    if (bank->norm)
        gradients_from_sums(memory, bank->norm, &plan.line, x, of_x, norm_sums, of_x, of_norm, of_norm + features);
}
