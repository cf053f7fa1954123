// SPDX-License-Identifier: GPL-2.0
/*
 * Proves that distances between sample points are exponentially distributed: that their
 * mean is right, and how many are above and below parts of it.  Off by six times what
 * chance explains, which it does once in a billion runs.
 */

#include <linux/kernel.h>
#include <linux/math64.h>

#include "kmod/observe/profile.h"
#include "test.h"

/* Of a million, in a share of the mean: exp(-1/64), exp(-1/2), exp(-1), exp(-2), exp(-5). */
static const struct {
	u32 num;
	u32 den;
	u32 above;
} parts[] = {
	{ 1, 64, 984496 }, { 1, 2, 606531 }, { 1, 1, 367879 }, { 2, 1, 135335 }, { 5, 1, 6738 },
};

static void expect_about(struct kunit *test, u64 got, u64 want, u64 variance)
{
	u64 most = 6 * int_sqrt64(variance) + 2;

	KUNIT_EXPECT_LE(test, got, want + most);
	KUNIT_EXPECT_GE(test, got + most, want);
}

static void distances_are_exponential(struct kunit *test, u64 mean)
{
	unsigned int i, p, n = kt_steps(100000);
	u64 above[ARRAY_SIZE(parts)] = {}, sum = 0, x;

	for (i = 0; i < n; i++) {
		x = karena_exponential(mean);
		sum += x;
		for (p = 0; p < ARRAY_SIZE(parts); p++)
			above[p] += x > mean * parts[p].num / parts[p].den;
		if (i % 1000 == 0)
			cond_resched();
	}
	/* Of the mean of n of them the standard deviation is mean / sqrt(n). */
	expect_about(test, div_u64(sum, n), mean, div_u64(mean, n) * mean);
	for (p = 0; p < ARRAY_SIZE(parts); p++)
		expect_about(test, above[p], div_u64((u64)n * parts[p].above, 1000000),
			     div_u64((u64)n * parts[p].above, 1000000));
}

static void usual_distances(struct kunit *test)
{
	distances_are_exponential(test, SZ_512K);
}

static void long_distances(struct kunit *test)
{
	/* Squares of larger ones do not fit. */
	distances_are_exponential(test, BIT_ULL(34));
}

/* Nothing is sampled, and all. */
static void bounds(struct kunit *test)
{
	unsigned int i;

	for (i = 0; i < 1000; i++) {
		KUNIT_EXPECT_EQ(test, karena_exponential(0), 0);
		/* The least that a random number of 32 bits can be: 32 ln(2). */
		KUNIT_EXPECT_LE(test, karena_exponential(KARENA_MAX_RATE), 23 * KARENA_MAX_RATE);
	}
}

static struct kunit_case cases[] = {
	KUNIT_CASE(usual_distances),
	KUNIT_CASE(long_distances),
	KUNIT_CASE(bounds),
	{}
};

static struct kunit_suite suite = {
	.name = "karena_profile",
	.test_cases = cases,
};

kunit_test_suite(suite);
