/* Batch normalisation of [pixels][channels], with the ReLU after it if there is one, and its gradients. */

#define PIXELS 64 /* whose sums are made in REAL before they are added in double: float may lose 6 of 24 bits */
#define AT_ONCE 4 /* sums side by side: an addition takes four cycles, and so many hide it */

typedef struct {
    long pixels, channels, relu, threads;
    const REAL *mean, *deviation; /* of the batch; the deviation is sqrt(variance + epsilon) */
    const REAL *weight, *bias;
} Norm;

static long first_pixel(const Norm *norm, long part) { return part * norm->pixels / norm->threads; }

/* Of every channel: how many pixels were counted, their mean, and the sum of squares around it. */
typedef struct {
    double *count, *mean, *squares;
} Moments;

static Moments moments_of(Memory *memory, long channels) {
    double *of_all = alloc_doubles(memory, 3 * channels);
    return (Moments){of_all, of_all + channels, of_all + 2 * channels};
}

static Moments *several_moments(Memory *memory, long count) { return held(memory, count, sizeof(Moments), 0); }

/* Count in pixels of which mean and sum of squares are known (Chan et al., 1979). before: how many were counted until
   then; share: what part of all that are counted afterwards they are. */
INLINE void merge(Moments *moments, long channel, double before, double share, double mean, double squares) {
    double away = mean - moments->mean[channel];
    moments->mean[channel] += away * share;
    moments->squares[channel] += squares + away * away * before * share;
}

/* Count in some pixels, from one to the next `row` values, of the channels from `first` on, which have been counted
   equally often. Squares are taken around the first pixel: pixels are few, and it is not far from their mean. Sums are
   of several pixels at once: one sum would wait for itself. */
static void count_in(Moments *moments, const REAL *x, long pixels, long row, long first, long channels) {
    double before = moments->count[first], share = pixels / (before + pixels);
    for (long c = 0; c < channels; c += LANES) {
        long left = channels - c, rest = pixels % AT_ONCE;
        const REAL *at = x + c;
        vec origin = load_some(at, left), sums[AT_ONCE], squares[AT_ONCE];
        UNROLL for (int i = 0; i < AT_ONCE; i++) {
            vec away = splat(0);
            if (i < rest) away = load_some(at + i * row, left) - origin;
            sums[i] = away, squares[i] = away * away;
        }
        for (at += rest * row; at < x + pixels * row; at += AT_ONCE * row)
            UNROLL for (int i = 0; i < AT_ONCE; i++) {
                vec away = load_some(at + i * row, left) - origin;
                sums[i] += away, squares[i] += away * away;
            }
        vec sum = (sums[0] + sums[1]) + (sums[2] + sums[3]), of_origin = sum / splat(pixels);
        vec square = (squares[0] + squares[1]) + (squares[2] + squares[3]) - sum * of_origin, mean = origin + of_origin;
        square = choose(square < 0, splat(0), square);
        for (long lane = 0; lane < min(LANES, left); lane++) {
            moments->count[first + c + lane] = before + pixels;
            merge(moments, first + c + lane, before, share, mean[lane], square[lane]);
        }
    }
}

/* Of as many parts of a batch as there are threads, added in their order. */
static void give_moments(Memory *memory, const Moments *parts, long count, long step, long channels, REAL *mean,
                         REAL *variance) {
    Moments total = moments_of(memory, channels);
    for (long part = 0; part < count; part++, parts += step)
        for (long c = 0; c < channels; c++) {
            double before = total.count[c], more = parts->count[c];
            if (!more) continue;
            total.count[c] += more;
            merge(&total, c, before, more / total.count[c], parts->mean[c], parts->squares[c]);
        }
    for (long c = 0; c < channels; c++) mean[c] = total.mean[c], variance[c] = total.squares[c] / total.count[c];
}

static void make_moments(Memory *memory, const Norm *norm, const REAL *x, REAL *mean, REAL *variance) {
    Moments *parts = several_moments(memory, norm->threads);
    for (long part = 0; part < norm->threads; part++) parts[part] = moments_of(memory, norm->channels);
    #pragma omp parallel for schedule(static, 1) num_threads(norm->threads)
    for (long part = 0; part < norm->threads; part++) {
        long last = first_pixel(norm, part + 1);
        for (long pixel = first_pixel(norm, part); pixel < last; pixel += PIXELS)
            count_in(&parts[part], x + pixel * norm->channels, min(PIXELS, last - pixel), norm->channels, 0,
                     norm->channels);
    }
    give_moments(memory, parts, norm->threads, 1, norm->channels, mean, variance);
}

/* y = scale (x - mean) + bias for every channel; what the ReLU lets through is where that is positive. */
typedef struct {
    REAL *scale, *mean, *bias; /* whole vectors */
} Line;

static Line line_of(Memory *memory, const Norm *norm) {
    long channels = norm->channels;
    Line line = {alloc(memory, channels), alloc(memory, channels), alloc(memory, channels)};
    for (long c = 0; c < norm->channels; c++) line.scale[c] = norm->weight[c] / norm->deviation[c];
    memcpy(line.mean, norm->mean, norm->channels * sizeof(REAL));
    memcpy(line.bias, norm->bias, norm->channels * sizeof(REAL));
    return line;
}

INLINE vec on_line(const Line *line, long c, vec x) {
    return load(line->scale + c) * (x - load(line->mean + c)) + load(line->bias + c);
}

INLINE vec normalised(const Norm *norm, const Line *line, long c, vec x) {
    vec value = on_line(line, c, x);
    return norm->relu ? choose(value < 0, splat(0), value) : value;
}

/* The gradient of what the ReLU reads. */
INLINE vec relu_backward(const Norm *norm, const Line *line, long c, vec x, vec gradient) {
    return norm->relu ? choose(on_line(line, c, x) > 0, gradient, splat(0)) : gradient;
}

static void normalise(Memory *memory, const Norm *norm, const REAL *x, REAL *y) {
    Line line = line_of(memory, norm);
    #pragma omp parallel for schedule(static, 1) num_threads(norm->threads)
    for (long part = 0; part < norm->threads; part++)
        for (long pixel = first_pixel(norm, part); pixel < first_pixel(norm, part + 1); pixel++)
            for (long c = 0; c < norm->channels; c += LANES) {
                long at = pixel * norm->channels + c, left = norm->channels - c;
                store_some(y + at, normalised(norm, &line, c, load_some(x + at, left)), left);
            }
}

/* What add_sums works in. */
static long sums_size(const Norm *norm) { return 2 * (norm->channels + LANES); }

/* Add over some pixels the gradient of what the ReLU reads, and its product with x - mean. sums: [2][channels]. */
static void add_sums(const Norm *norm, const Line *line, const REAL *x, const REAL *gradients, long first, long last,
                     REAL *plain, double *sums) {
    long channels = norm->channels;
    REAL *product = plain + channels + LANES;
    for (long start = first; start < last; start += PIXELS) {
        memset(plain, 0, sums_size(norm) * sizeof(REAL));
        for (long pixel = start; pixel < min(last, start + PIXELS); pixel++)
            for (long c = 0; c < channels; c += LANES) {
                long at = pixel * channels + c, left = channels - c;
                vec value = load_some(x + at, left);
                vec gradient = relu_backward(norm, line, c, value, load_some(gradients + at, left));
                store(plain + c, load(plain + c) + gradient);
                store(product + c, load(product + c) + gradient * (value - load(line->mean + c)));
            }
        for (long c = 0; c < channels; c++) sums[c] += plain[c], sums[channels + c] += product[c];
    }
}

/* The gradients, from those of y and the sums of as many parts as there are threads. of_x may be what `gradients`
   is. */
static void gradients_from_sums(Memory *memory, const Norm *norm, const Line *line, const REAL *x,
                                const REAL *gradients, double *sums, REAL *of_x, REAL *of_weight, REAL *of_bias) {
    REAL *slope = alloc(memory, norm->channels), *rest = alloc(memory, norm->channels);
    for (long i = 2 * norm->channels; i < 2 * norm->channels * norm->threads; i++)
        sums[i % (2 * norm->channels)] += sums[i];
    for (long c = 0; c < norm->channels; c++) {
        of_bias[c] = sums[c];
        of_weight[c] = sums[norm->channels + c] / norm->deviation[c];
        slope[c] = -line->scale[c] * of_weight[c] / norm->deviation[c] / norm->pixels;
        rest[c] = -line->scale[c] * of_bias[c] / norm->pixels;
    }
    #pragma omp parallel for schedule(static, 1) num_threads(norm->threads)
    for (long part = 0; part < norm->threads; part++)
        for (long pixel = first_pixel(norm, part); pixel < first_pixel(norm, part + 1); pixel++)
            for (long c = 0; c < norm->channels; c += LANES) {
                long at = pixel * norm->channels + c, left = norm->channels - c;
                vec value = load_some(x + at, left), away = value - load(line->mean + c);
                vec gradient = relu_backward(norm, line, c, value, load_some(gradients + at, left));
                gradient = load(line->scale + c) * gradient + load(slope + c) * away + load(rest + c);
                store_some(of_x + at, gradient, left);
            }
}

static void pull_back(Memory *memory, const Norm *norm, const REAL *x, const REAL *gradients, REAL *of_x,
                      REAL *of_weight, REAL *of_bias) {
    Line line = line_of(memory, norm);
    double *sums = alloc_doubles(memory, 2 * norm->channels * norm->threads);
    long size = rounded_up(sums_size(norm), LINE_OF_CACHE);
    REAL *plain = alloc(memory, norm->threads * size);
    #pragma omp parallel for schedule(static, 1) num_threads(norm->threads)
    for (long part = 0; part < norm->threads; part++)
        add_sums(norm, &line, x, gradients, first_pixel(norm, part), first_pixel(norm, part + 1),
                 plain + size * part, sums + 2 * norm->channels * part);
    gradients_from_sums(memory, norm, &line, x, gradients, sums, of_x, of_weight, of_bias);
}
