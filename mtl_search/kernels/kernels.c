/* What Python calls (library.py); built for float and for double. All but `takes_blocks` return whether there was no
   memory left to work in. */

#include <math.h>

#include "memory.h"
#include "vectors.h"
#include "norm.h"
#include "bank.h"
#include "winograd.h"

/* Mean and variance of every channel. */
int norm_moments(const Norm *norm, const REAL *x, REAL *mean, REAL *variance)
    IN_MEMORY(make_moments(memory, norm, x, mean, variance))

int norm_forward(const Norm *norm, const REAL *x, REAL *y)
    IN_MEMORY(normalise(memory, norm, x, y))

/* gradients: of y. */
int norm_backward(const Norm *norm, const REAL *x, const REAL *gradients, REAL *of_x, REAL *of_weight, REAL *of_bias)
    IN_MEMORY(pull_back(memory, norm, x, gradients, of_x, of_weight, of_bias))

/* Whether a bank goes through minimal filtering. */
int takes_blocks(const Bank *bank) { return blocks_are_faster(bank); }

int bank_forward(const Bank *bank, const REAL *x, const REAL *weight, const Output *outputs, long count)
    IN_MEMORY((blocks_are_faster(bank) ? forward_by_blocks : forward_by_responses)(memory, bank, x, weight, outputs,
                                                                                  count))

/* outputs: their gradients. of_x: like x, or NULL where there is no norm. of_weight: like weight. of_norm: the
   gradients of weight and bias of the norm, [2][groups * channels]. */
int bank_backward(const Bank *bank, const REAL *x, const REAL *weight, const Output *outputs, long count, REAL *of_x,
                  REAL *of_weight, REAL *of_norm)
    IN_MEMORY((blocks_are_faster(bank) ? backward_by_blocks : backward_by_responses)(memory, bank, x, weight, outputs,
                                                                                    count, of_x, of_weight, of_norm))
