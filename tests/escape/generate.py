# SPDX-License-Identifier: GPL-2.0
"""Random C programs that pass objects about in all the ways there are.

A program is defined behaviour throughout: pointers are looked at before they are used,
addresses of variables go down to callees only, what is freed is nobody else's.  It prints
what its functions return and what is reachable at its end, but no address.
"""

import random

HEAD = r'''
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#define KARENA_NO_INLINE
#include <karena.h>
#include "standin.h"
#define ALONE __attribute__((__noinline__))
#define SPEND if (--fuel < 0) return
struct node { struct node *a, *b; long v; int w; unsigned char c[4]; };
struct pair { struct node *a, *b; };
union bits { struct node *p; uintptr_t u; unsigned int h[2]; unsigned char c[8]; };
typedef struct node *(*function)(struct node *, struct node **, struct node *, long, int);
static struct karena *heap;
static struct karena_type node_type, late_type;
static struct node *g[4];
static __thread struct node *t;
static jmp_buf out;
static int jumps = 3;
static long fuel = 20000;
static unsigned long sum;
static void mix(unsigned long x) { sum = (sum ^ x) * 1099511628211UL + 77; }
static ALONE long reads(const struct node *n) { return n ? n->v * 3 + n->w : 5; }
static ALONE long deep(const struct node *n, int d) {
	return n && d ? n->v + 2 * deep(n->a, d - 1) + 3 * deep(n->b, d - 1) : 1; }
static ALONE struct node *pick(struct node *n, struct node *m, long x) { return x & 1 ? n : m; }
static ALONE void tie(struct node *n, struct node *m) { if (n) n->a = m; }
static ALONE void put(struct node **q, struct node *n) { *q = n; }
static ALONE struct node *next(struct node *n) { return n ? n->a : 0; }
static ALONE void keep(struct node *n) { g[3] = n; }
static ALONE struct pair both(struct node *n, struct node *m) { return (struct pair){ m, n }; }
static ALONE void swap(struct pair *p) { struct node *n = p->a; p->a = p->b; p->b = n; }
static ALONE void bytes(void *to, const void *from, size_t n) {
	unsigned char *d = to; const unsigned char *s = from; while (n--) *d++ = *s++; }
static ALONE struct node *last_of(int nr, ...) {
	va_list args; struct node *n = 0; va_start(args, nr);
	while (nr--) n = va_arg(args, struct node *);
	va_end(args); return n; }
static struct node *id(struct node *n) { return n; }
'''

TAIL = r'''
static void walk(struct node *n, int depth) {
	if (!n || !depth) { mix(1); return; }
	mix(n->v); mix(n->w); mix(n->c[0] * 256 + n->c[3]);
	walk(n->a, depth - 1); walk(n->b, depth - 1); }
'''


class Program:
    def __init__(self, seed, puns):
        self.r = random.Random(seed)
        self.puns = puns
        self.functions = []
        self.text = [HEAD]

    def any(self, *choices):
        return self.r.choice(choices)

    def pointer(self):
        """A variable of a node's address."""
        return self.any('l0', 'l1', 'l2', 'l3', 'p', 'r', f'y[{self.r.randrange(3)}]', 'pr.a')

    def alloc(self):
        k = self.r.randrange(12)
        if k < 4:
            return 'karena_alloc(heap, sizeof(struct node))'
        if k < 6:
            return 'karena_new(heap, node_type)'
        if k == 6:
            return 'karena_new(heap, late_type)'
        if k == 7:
            return 'karena_alloc(heap, sizeof(struct node) + (x & 31))'
        if k == 8:
            return 'karena_alloc_flags(heap, sizeof(struct node), KARENA_ALLOC_NOSCAN)'
        if k == 9:
            return f'karena_new_array(heap, node_type, {self.r.randrange(1, 4)})'
        if k == 10:
            return 'karena_alloc(heap, 6000)'
        return 'karena_alloc(heap, 48)'

    def value(self):
        """Some node, or NULL."""
        k = self.r.randrange(20)
        if k < 5:
            return self.alloc()
        if k < 15:
            return self.pointer()
        if k == 15:
            return f'g[{self.r.randrange(4)}]'
        if k == 16:
            return f'pick({self.pointer()}, {self.pointer()}, x)'
        if k == 17:
            return f'next({self.pointer()})'
        if k == 18:
            return f'(x & {self.any(1, 2, 4)} ? {self.pointer()} : {self.pointer()})'
        return f'id({self.pointer()})'

    def call(self):
        if not self.functions or self.r.random() < .15:
            return f'(d > 0 ? {self.name}({self.pointer()}, &{self.slot()}, {self.pointer()}, ' \
                   f'x + 1, d - 1) : 0)'
        return f'{self.any(*self.functions)}({self.value()}, {self.any("q", "&" + self.slot())}, ' \
               f'{self.pointer()}, x + {self.r.randrange(9)}, d)'

    def slot(self):
        return self.any('l0', 'l1', 'l2', 'y[1]', 'pr.b')

    def copy(self, a=None, b=None):
        """One pointer becomes another one, by some way."""
        a, b = a or self.slot(), b or self.pointer()
        ways = [
            f'memcpy(&{a}, &{b}, sizeof({a}));',
            f'bytes(&{a}, &{b}, sizeof({a}));',
            f'for (size_t k_ = 0; k_ < 8; k_++) ((char *)&{a})[k_] = ((char *)&{b})[k_];',
            f'{{ union bits o_ = {{ .p = {b} }}; {a} = (struct node *)o_.u; }}',
            f'{{ union bits o_ = {{ .p = {b} }}, n_; n_.h[0] = o_.h[0]; n_.h[1] = o_.h[1]; {a} = n_.p; }}',
            f'{{ uintptr_t u_ = (uintptr_t){b}; u_ ^= 0x5555; u_ ^= 0x5555; {a} = (struct node *)u_; }}',
            f'{{ unsigned h_[2]; memcpy(h_, &{b}, 8); '
            f'{a} = (struct node *)((uintptr_t)h_[1] << 32 | h_[0]); }}',
            f'{{ struct pair o_ = {{ {b}, {self.pointer()} }}, n_ = o_; swap(&n_); {a} = n_.b; }}',
            f'{a} = both({self.pointer()}, {b}).a;',
            f'put(&{a}, {b});',
            f'__atomic_store_n(&{a}, {b}, __ATOMIC_SEQ_CST);',
            f'{a} = {b}; __asm__ volatile("" : "+r"(x));',
            f'{{ struct node *z_ = {b}; __asm__ volatile("" : "+r"(z_)); {a} = z_; }}',
            f'{a} = last_of(2, {self.pointer()}, {b});',
            f'{{ struct node *volatile z_ = {b}; {a} = z_; }}',
            f'{{ struct node **z_ = x & 1 ? &{a} : q; *z_ = {b}; }}',
            f'{{ long z_ = (long){b}; long *m_ = karena_alloc(heap, 16); m_[1] = z_; '
            f'{a} = (struct node *)m_[1]; }}',
            f'{{ void **m_ = karena_alloc(heap, 32); m_[x & 3] = {b}; {a} = m_[x & 3]; }}',
        ]
        if self.puns:
            ways += [
                f'*(long *)&{a} = *(long *)&{b};',
                f'((int *)&{a})[0] = ((int *)&{b})[0]; ((int *)&{a})[1] = ((int *)&{b})[1];',
                f'{{ short *s_ = (short *)&{b}, *e_ = (short *)&{a}; '
                f'for (int k_ = 0; k_ < 4; k_++) e_[k_] = s_[k_]; }}',
            ]
        return self.any(*ways)

    def member(self):
        """Something is read from a node, or written to it."""
        a, b = self.pointer(), self.pointer()
        field = self.any('a', 'b')
        return self.any(
            f'if ({a}) {a}->{field} = {self.value()};',
            f'if ({a}) {a}->{field} = {b};',
            f'if ({a}) {self.slot()} = {a}->{field};',
            f'if ({a}) {self.slot()} = {a}->{field};',
            f'if ({a}) {a}->v = x + v;',
            f'if ({a}) {a}->w += {self.r.randrange(99)};',
            f'if ({a}) {a}->c[x & 3] = v;',
            f'if ({a}) v += {a}->v;',
            f'if ({a}) v += {a}->w + {a}->c[1];',
            f'if ({a} && {b}) *{a} = *{b};',
            f'if ({a} && {b}) memcpy({a}, {b}, sizeof(*{a}));',
            f'if ({a}) {{ s = *{a}; s.v++; }}',
            f'if ({a}) *{a} = s;',
            f'if ({a}) karena_store(heap, &{a}->{field}, {b});',
            f'if ({a} && {b}) karena_move(heap, &{a}->a, &{b}->b, 8);',
            f'if ({a}) {{ struct node **z = &{a}->{field}; *z = {b}; }}',
            f'tie({a}, {b});',
            f'v += reads({a}) + deep({b}, 3);',
            f'v += {a} == {b};',
            f's.{field} = {a};',
            f'{self.slot()} = s.{field};',
        )

    def freed(self):
        """An object that is nobody else's."""
        return self.any(
            f'{{ struct node *z = {self.alloc()}; z->v = x; v += reads(z); '
            f'karena_free(heap, z); }}',
            f'{{ struct node *z = x & 1 ? {self.alloc()} : 0; v += reads(z); '
            f'v += karena_free(heap, z); }}',
            f'{{ struct node *z = {self.alloc()}, *o = {self.alloc()}; z->a = o; o->w = 4; '
            f'v += deep(z, 2); karena_free(heap, x & 2 ? o : z); }}',
            f'{{ struct node *z = {self.alloc()}, *k = z; z->v = 9; if (x & 4) keep(z), k = 0; '
            f'v += reads(z); karena_free(heap, k); }}',
        )

    def leak(self, what=None):
        what = what or self.pointer()
        return self.any(f'g[{self.r.randrange(4)}] = {what};', f't = {what};', f'keep({what});',
                        f'*q = {what};', f'put(q, {what});', f'if (g[1]) g[1]->b = {what};',
                        f'put(&g[0], {what});', f'tie(g[2], {what});')

    def tied(self, a, b, f):
        """b becomes what member f of a leads to."""
        ways = [f'{a}->{f} = {b};', f'put(&{a}->{f}, {b});',
                f'karena_store(heap, &{a}->{f}, {b});', self.copy(f'{a}->{f}', b),
                f'*{a} = (struct node){{ .{f} = {b}, .v = 3 }};',
                f'{{ struct node w_ = {{ .{f} = {b} }}; memcpy({a}, &w_, sizeof(w_)); }}',
                f'{{ struct node **w_ = &{a}->{f}; *w_ = {b}; }}',
                f'((struct node **){a})[x * 0 + {0 if f == "a" else 1}] = {b};',
                f'{{ long w_ = offsetof(struct node, {f}); '
                f'*(struct node **)((char *){a} + w_) = {b}; }}',
                f'{{ struct node **w_ = &{a}->b; w_[{-1 if f == "a" else 0}] = {b}; }}',
                f'memcpy((char *){a} + offsetof(struct node, {f}), &{b}, 8);',
                f'{{ struct pair w_ = {{ {a}->a, {a}->b }}; w_.{f} = {b}; memcpy({a}, &w_, 16); }}']
        if f == 'a':
            ways.append(f'tie({a}, {b});')
        return self.any(*ways)

    def story(self):
        """Objects that are nobody else's, until one may get away; each has one way only."""
        k = self.r.randrange(8)
        fresh = (f'{{ struct node *z = {self.alloc()}, *o = {self.alloc()}, *e = 0; '
                 f'z->v = x + 5; o->v = v & 1023; ')
        look = 'v += deep(z, 3) + deep(e, 2); }'
        if k == 0:
            return fresh + self.copy('e', 'z') + self.leak('e') + look
        f = self.any('a', 'b')
        read = self.any(f'z->{f}', f'z->{f}', f'*&z->{f}', f'((struct node **)z)[{0 if f == "a" else 1}]')
        if k == 1:
            return fresh + self.tied('z', 'o', f) + self.leak('z') + look
        if k == 2:
            return fresh + self.tied('z', 'o', f) + self.leak(read) + look
        if k == 3:
            return fresh + self.tied('z', 'o', f) + self.copy('e', read) + \
                self.any(look, self.leak('e') + look)
        if k == 4:
            return fresh + 'e = pick(z, o, x);' + self.any('', self.leak('e')) + look
        self.loops += 1
        i = f'i{self.loops}'
        inner = self.any('e = o;', f'if ({i} & 1) e = o;', self.copy('e', 'o'), 'tie(o, e); e = o;',
                         'o->b = e; e = o;', 'if (!e) e = o;', f'y[{i} % 3] = o; e = y[0];')
        end = self.any('', '', '', self.leak('e'), 'l0 = e;')
        return (f'{{ struct node *e = 0, *o = 0; for (int {i} = 0; {i} < {self.r.randrange(2, 7)}; '
                f'{i}++) {{ SPEND {self.result}; '
                f'{self.any("", "v += reads(o);")} o = {self.alloc()}; o->v = {i} * 7 + x; '
                f'{inner} v += deep(e, 3); }} v = v * 3 + deep(e, 5); {end} }}')

    def block(self, depth):
        return ' '.join(self.statement(depth - 1) for _ in range(self.r.randrange(1, 5)))

    def statement(self, depth):
        k = self.r.randrange(100)
        if k < 12:
            return f'{self.slot()} = {self.value()};'
        if k < 26:
            return self.member()
        if k < 32:
            return self.copy()
        if k < 58:
            return self.story()
        if k < 60:
            return self.leak()
        if k < 65:
            return self.freed()
        if k < 75:
            return f'{self.slot()} = {self.call()}; poison();'
        if k < 76:
            return f'if ((x & 31) == {self.r.randrange(32)} && jumps-- > 0) longjmp(out, 1);'
        if k < 77:
            return f'{self.slot()} = *q;'
        if k < 79 and self.functions:
            return f'{{ function z = x & 1 ? {self.any(*self.functions)} : ' \
                   f'{self.any(*self.functions)}; {self.slot()} = z({self.pointer()}, q, ' \
                   f'{self.pointer()}, x, d); poison(); }}'
        if depth <= 0:
            return f'v += x ^ {self.r.randrange(1000)};'
        if k < 87:
            return f'if ((x ^ v) & {self.any(1, 2, 3, 4)}) {{ {self.block(depth)} }} ' \
                   f'else {{ {self.block(depth)} }}'
        if k < 97:
            self.loops += 1
            i = f'i{self.loops}'
            return f'for (int {i} = 0; {i} < {self.r.randrange(2, 6)}; {i}++) {{ ' \
                   f'SPEND {self.result}; {self.block(depth)} }}'
        return f'switch (x & 3) {{ case 0: {self.block(depth)} break; case 1: {self.block(depth)} ' \
               f'break; default: {self.block(depth)} }}'

    def function(self, number):
        self.name = f'f{number}'
        self.loops = 0
        self.result = '0'
        storage = self.any('static ALONE', 'static ALONE', 'static', 'ALONE', '')
        body = ' \n\t'.join(self.statement(3) for _ in range(self.r.randrange(2, 9)))
        result = self.any('0', '0', 'l0', 'p', 'r', 'next(l1)', 'pick(l0, p, x)', 'g[2]', '*q',
                          'y[0]', 's.a', 'pr.a')
        self.text.append(
            f'{storage} struct node *{self.name}(struct node *p, struct node **q, '
            f'struct node *r, long x, int d)\n{{\n'
            f'\tstruct node *l0 = 0, *l1 = {self.any("0", self.alloc())}, '
            f'*l2 = {self.any("p", "0")}, *l3 = 0, *y[3] = {{ 0 }};\n'
            f'\tstruct node s = {{ 0 }}; struct pair pr = {{ 0 }}; long v = x; '
            f'(void)l3; (void)r; (void)d;\n'
            f'\tSPEND 0;\n\t{body}\n\tmix(v); mix(deep(l0, 3)); mix(deep(pr.a, 2)); '
            f'mix(deep(y[x % 3 + (x < 0 ? 2 : 0)], 2)); mix(deep(s.b, 2));\n'
            f'\treturn {result};\n}}\n')
        self.functions.append(self.name)

    def make(self):
        for number in range(self.r.randrange(3, 8)):
            self.function(number)
        self.text.append(TAIL)
        calls = ' '.join(f'if (!setjmp(out)) n = {self.any(*self.functions)}({self.any("n", "m", "0", "g[0]")}, '
                         f'&{self.any("m", "g[1]")}, {self.any("n", "m", "g[2]")}, {k}, 2); '
                         f'poison(); walk(n, 4);' for k in range(self.r.randrange(6, 16)))
        self.text.append(
            'int main(void)\n{\n\tstatic struct node *n, *m;\n'
            '\tnode_type = KARENA_TYPE(heap, struct node, a, b);\n'
            '\tmemcpy(&late_type, &node_type, sizeof(node_type));\n'
            f'\t{calls}\n\twalk(n, 6); walk(m, 6); walk(t, 6);\n'
            '\tfor (int i = 0; i < 4; i++) walk(g[i], 6);\n'
            '\tprintf("%lx\\n", sum);\n'
            '\tfprintf(stderr, "%lu %lu\\n", standin_heap, standin_scope);\n\treturn 0;\n}\n')
        return '\n'.join(self.text)


def program(seed, puns):
    return Program(seed, puns).make()
