/* How many numbers sum_of_squares adds up at a time. It decides the bits of the result, so every
   loop that is to give the same bits takes it from here; Python has it as _kernels.SUM_BLOCK. */

#define GILFREE_SUM_BLOCK 65536
