/* The block length of sum_of_squares, in numbers. It decides the bits of the result, so all loops
   that must give the same bits take it from here; Python reads it as _kernels.SUM_BLOCK. */

#define GILFREE_SUM_BLOCK 65536
