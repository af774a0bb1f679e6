/* Access to int64_t variables that one thread writes while another reads, without a lock. */

#ifndef GILFREE_ATOMIC_H
#define GILFREE_ATOMIC_H

#include <stdint.h>

#if defined(_MSC_VER)
    #include <intrin.h>
    #define gilfree_load(place) _InterlockedExchangeAdd64((volatile int64_t *) (place), 0)
    #define gilfree_store(place, value) \
        ((void) _InterlockedExchange64((volatile int64_t *) (place), value))
    /* Add 1; return the earlier value. */
    #define gilfree_count(place) _InterlockedExchangeAdd64(place, 1)
    #define gilfree_count_down(place) ((void) _InterlockedExchangeAdd64(place, -1))
    /* Write `after` if the value is `before`; return whether it was. */
    #define gilfree_replace(place, before, after) \
        (_InterlockedCompareExchange64(place, after, before) == (before))
#else
    #define gilfree_load(place) __atomic_load_n(place, __ATOMIC_ACQUIRE)
    #define gilfree_store(place, value) __atomic_store_n(place, value, __ATOMIC_RELEASE)
    #define gilfree_count(place) __atomic_fetch_add(place, 1, __ATOMIC_ACQ_REL)
    #define gilfree_count_down(place) ((void) __atomic_fetch_sub(place, 1, __ATOMIC_ACQ_REL))
    static inline int gilfree_replace(int64_t *place, int64_t before, int64_t after)
    {
        return __atomic_compare_exchange_n(
            place, &before, after, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    }
#endif

#endif
