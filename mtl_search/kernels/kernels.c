/* Built for float and for double, see library.py. */

#include <math.h>

#include "vectors.h"
#include "norm.h"
#include "bank.h"
#include "winograd.h"
