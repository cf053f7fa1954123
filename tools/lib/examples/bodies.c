// SPDX-License-Identifier: GPL-2.0
/*
 * Planets around a sun, in vectors that are objects, as one writes it in a language that
 * frees by itself.  Built with karena-escape(1) no vector is on the heap any more:
 *
 *	cc -O2 -fplugin=karena_escape -fplugin-arg-karena_escape-rewrite \
 *	   bodies.c $(pkg-config --cflags --libs karena) -lm -o bodies
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <karena.h>

#define BODIES	4
#define STEP	0.01

struct vector {
	double x, y, z;
};

struct body {
	struct vector at, speed;
	double mass;
};

static struct karena *heap;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static inline __attribute__((__always_inline__)) struct vector *vector(double x, double y, double z)
{
	struct vector *v = karena_alloc_flags(heap, sizeof(*v), KARENA_ALLOC_NOSCAN);

	if (!v)
		die("karena_alloc_flags");
	v->x = x;
	v->y = y;
	v->z = z;
	return v;
}

static inline __attribute__((__always_inline__)) struct vector *minus(const struct vector *a,
								      const struct vector *b)
{
	return vector(a->x - b->x, a->y - b->y, a->z - b->z);
}

static inline __attribute__((__always_inline__)) struct vector *times(const struct vector *a,
								      double by)
{
	return vector(a->x * by, a->y * by, a->z * by);
}

static void add(struct vector *to, const struct vector *v)
{
	to->x += v->x;
	to->y += v->y;
	to->z += v->z;
}

static double length(const struct vector *v)
{
	return sqrt(v->x * v->x + v->y * v->y + v->z * v->z);
}

static void attract(struct body *body, const struct body *by)
{
	struct vector *way = minus(&by->at, &body->at);
	double far = length(way);

	add(&body->speed, times(way, by->mass * STEP / (far * far * far)));
}

static void step(struct body *bodies)
{
	int i, j;

	for (i = 0; i < BODIES; i++)
		for (j = 0; j < BODIES; j++)
			if (i != j)
				attract(&bodies[i], &bodies[j]);
	for (i = 0; i < BODIES; i++)
		add(&bodies[i].at, times(&bodies[i].speed, STEP));
}

static struct body *make_bodies(void)
{
	struct body *bodies = karena_alloc(heap, BODIES * sizeof(*bodies));
	int i;

	if (!bodies)
		die("karena_alloc");
	for (i = 0; i < BODIES; i++) {
		bodies[i].at.x = i * 3;
		bodies[i].speed.y = i ? sqrt(100.0 / (i * 3)) : 0;
		bodies[i].mass = i ? 0.1 : 100;
	}
	return bodies;
}

int main(int argc, char **argv)
{
	struct karena_options opts = { .flags = KARENA_COLLECT };
	int steps = argc > 1 ? atoi(argv[1]) : 100000, i;
	struct body *bodies;

	heap = karena_open(&opts);
	if (!heap)
		die("karena_open");
	bodies = make_bodies();
	for (i = 0; i < steps; i++)
		step(bodies);
	for (i = 0; i < BODIES; i++)
		printf("%.6f %.6f\n", bodies[i].at.x, bodies[i].at.y);
	karena_close(heap);
	return 0;
}
