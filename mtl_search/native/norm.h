/* Batch normalisation of [pixels][channels], with the ReLU after it if there is one, and its gradients. */

#define PIXELS 64 /* whose sums are made in REAL before they are added in double */

typedef struct {
    long pixels, channels, relu, threads;
} Norm;

/* y = scale (x - mean) + bias for every channel; what the ReLU lets through is where that is positive. */
typedef struct {
    REAL *scale, *mean, *bias; /* whole vectors */
} Line;

static Line line_of(const Norm *norm, const REAL *mean, const REAL *deviation, const REAL *weight, const REAL *bias) {
    Line line = {room(norm->channels), room(norm->channels), room(norm->channels)};
    for (long c = 0; c < norm->channels; c++) line.scale[c] = weight[c] / deviation[c];
    memcpy(line.mean, mean, norm->channels * sizeof(REAL)), memcpy(line.bias, bias, norm->channels * sizeof(REAL));
    return line;
}

static void end_of_line(Line *line) { free(line->scale), free(line->mean), free(line->bias); }

INLINE vec on_line(const Line *line, long c, vec x) {
    return load(line->scale + c) * (x - load(line->mean + c)) + load(line->bias + c);
}

INLINE vec through(const Norm *norm, const Line *line, long c, vec x, vec gradient) {
    return norm->relu ? choose(on_line(line, c, x) > 0, gradient, all(0)) : gradient;
}

static long first_pixel(const Norm *norm, long part) { return part * norm->pixels / norm->threads; }

/* Sums over a part of the pixels, of x - origin and its square; or, with gradients, of the gradient of what the ReLU
   reads and of its product with x - origin. sums: [2][channels]. */
INLINE void sum_part(const Norm *norm, const REAL *x, const REAL *gradients, const Line *line, const REAL *origin,
                     long part, double *sums) {
    long channels = norm->channels, last = first_pixel(norm, part + 1);
    REAL *first = room(2 * (channels + LANES)), *second = first + channels + LANES;
    for (long start = first_pixel(norm, part); start < last; start += PIXELS) {
        memset(first, 0, 2 * (channels + LANES) * sizeof(REAL));
        for (long pixel = start; pixel < least(last, start + PIXELS); pixel++)
            for (long c = 0; c < channels; c += LANES) {
                long at = pixel * channels + c, left = channels - c;
                vec value = load_some(x + at, left), away = value - load(origin + c), of_line = away;
                if (gradients) of_line = through(norm, line, c, value, load_some(gradients + at, left));
                store(first + c, load(first + c) + of_line);
                store(second + c, load(second + c) + of_line * away);
            }
        for (long c = 0; c < channels; c++) sums[c] += first[c], sums[channels + c] += second[c];
    }
    free(first);
}

/* As many parts as threads, added in their order. */
static double *sums_of(const Norm *norm, const REAL *x, const REAL *gradients, const Line *line, const REAL *origin) {
    double *sums = calloc(2 * norm->channels * norm->threads, sizeof(double));
    #pragma omp parallel for schedule(static, 1) num_threads(norm->threads)
    for (long part = 0; part < norm->threads; part++) {
        double *of_part = sums + 2 * norm->channels * part;
        if (gradients) sum_part(norm, x, gradients, line, origin, part, of_part);
        else sum_part(norm, x, NULL, NULL, origin, part, of_part);
    }
    for (long i = 2 * norm->channels; i < 2 * norm->channels * norm->threads; i++)
        sums[i % (2 * norm->channels)] += sums[i];
    return sums;
}

/* Something near the mean of every channel, that of a few pixels: sums of squares from there on lose nothing. */
static REAL *near_mean(const Norm *norm, const REAL *x) {
    REAL *origin = room(norm->channels);
    long count = least(PIXELS, norm->pixels);
    memset(origin, 0, norm->channels * sizeof(REAL));
    for (long i = 0; i < count; i++)
        for (long c = 0; c < norm->channels; c++) origin[c] += x[i * norm->pixels / count * norm->channels + c] / count;
    return origin;
}

/* mean, deviation: of the batch, made. The deviation is sqrt(variance + epsilon). */
void norm_forward(const Norm *norm, const REAL *x, const REAL *weight, const REAL *bias, double epsilon, REAL *y,
                  REAL *mean, REAL *deviation) {
    REAL *origin = near_mean(norm, x);
    double *sums = sums_of(norm, x, NULL, NULL, origin);
    for (long c = 0; c < norm->channels; c++) {
        double away = sums[c] / norm->pixels, square = sums[norm->channels + c] / norm->pixels;
        mean[c] = origin[c] + away;
        deviation[c] = sqrt(fmax(0, square - away * away) + epsilon);
    }
    Line line = line_of(norm, mean, deviation, weight, bias);
    #pragma omp parallel for schedule(static, 1) num_threads(norm->threads)
    for (long part = 0; part < norm->threads; part++)
        for (long pixel = first_pixel(norm, part); pixel < first_pixel(norm, part + 1); pixel++)
            for (long c = 0; c < norm->channels; c += LANES) {
                long at = pixel * norm->channels + c, left = norm->channels - c;
                vec value = on_line(&line, c, load_some(x + at, left));
                store_some(y + at, norm->relu ? choose(value < 0, all(0), value) : value, left);
            }
    free(origin), free(sums);
    end_of_line(&line);
}

/* x, mean, deviation: of the forward pass; gradients: of y. */
void norm_backward(const Norm *norm, const REAL *x, const REAL *weight, const REAL *bias, const REAL *mean,
                   const REAL *deviation, const REAL *gradients, REAL *of_x, REAL *of_weight, REAL *of_bias) {
    Line line = line_of(norm, mean, deviation, weight, bias);
    REAL *slope = room(norm->channels), *rest = room(norm->channels);
    double *sums = sums_of(norm, x, gradients, &line, line.mean);
    for (long c = 0; c < norm->channels; c++) {
        of_bias[c] = sums[c];
        of_weight[c] = sums[norm->channels + c] / deviation[c];
        slope[c] = -line.scale[c] * of_weight[c] / deviation[c] / norm->pixels;
        rest[c] = -line.scale[c] * of_bias[c] / norm->pixels;
    }
    #pragma omp parallel for schedule(static, 1) num_threads(norm->threads)
    for (long part = 0; part < norm->threads; part++)
        for (long pixel = first_pixel(norm, part); pixel < first_pixel(norm, part + 1); pixel++)
            for (long c = 0; c < norm->channels; c += LANES) {
                long at = pixel * norm->channels + c, left = norm->channels - c;
                vec value = load_some(x + at, left);
                vec of_line = through(norm, &line, c, value, load_some(gradients + at, left));
                vec away = value - load(line.mean + c);
                store_some(of_x + at, load(line.scale + c) * of_line + load(slope + c) * away + load(rest + c), left);
            }
    free(slope), free(rest), free(sums);
    end_of_line(&line);
}
