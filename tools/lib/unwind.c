// SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0
/*
 * libkarena and libkarena-malloc: which calls have led here, by the tables for exceptions,
 * as programs have no frame pointers.
 *
 * libgcc reads the tables anew for each frame, some 2,000 instructions.  Nearly all say no
 * more than where a caller's stack pointer was, and where its rbp is: that is kept, a word
 * for each place in the code, in a table.
 *
 * - A word is written and read as a whole, and has its place in it.  So there is no lock,
 *   which fork() or a signal could find taken.
 * - Code may be unloaded, and other code come there.  What the table has of it is wrong from
 *   then on, and so is a stack in which it is.  The table is emptied now and then; and steps
 *   are short and go up, so that a wrong one hardly leads out of the stack.
 * - What a word cannot tell (signals, stacks that a function aligns, code written by hand)
 *   is left to libgcc, for the whole stack.
 *
 * The format is that of DWARF 4, 6.4, as the Linux Standard Base 5.0, 10.6, has changed it.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unwind.h>

#include "unwind.h"

/* --- by libgcc --- */

struct frames {
	__u64 *frame;
	unsigned int count, room;
	__u64 first;			/* those that are further inside are not wanted; 0: all */
};

static _Unwind_Reason_Code add_frame(struct _Unwind_Context *context, void *arg)
{
	struct frames *frames = arg;
	__u64 ip = _Unwind_GetIP(context);

	if (!ip || frames->count == frames->room)
		return _URC_END_OF_STACK;
	if (frames->first && ip != frames->first)
		return _URC_NO_REASON;
	frames->first = 0;
	frames->frame[frames->count++] = ip;
	return _URC_NO_REASON;
}

static unsigned int slow_backtrace(__u64 *frame, unsigned int room, __u64 first)
{
	struct frames frames = { .frame = frame, .room = room, .first = first };

	_Unwind_Backtrace(add_frame, &frames);
	return frames.count;
}

#ifdef __x86_64__

/* --- rules: how to come from a place in the code to its caller --- */

/*
 * The lowest bits of a word of the table; above them is the place.  A frame ends @offset
 * bytes above the stack pointer, or above rbp; the return address is below that end, and
 * the caller's rbp 8 * @slot bytes below it, or 0: where it was.
 */
#define RULE_BITS	17
#define RULE_BY_RBP	(1U << 16)
#define RULE_OFFSET(r)	(((r) >> 4 & 0xfff) * 8)
#define RULE_SLOT(r)	((r) & 0xf)
#define MOST_OFFSET	(0xfffU * 8)
#define MOST_SLOT	0xf
/* No frame is empty: there is no caller, or nothing is known of it; or only to libgcc. */
#define RULE_END	0U
#define RULE_OTHER	1U

#define DWARF_RBP	6
#define DWARF_RSP	7
#define DWARF_RA	16

#define SLOT_NONE	0
#define SLOT_OTHER	(MOST_SLOT + 1)

struct row {
	__u64 base;			/* a register; NO_BASE: an expression */
	__s64 offset;
	unsigned int rbp;		/* its slot, SLOT_OTHER: not in one */
	unsigned int ra;		/* likewise; SLOT_NONE: there is no caller */
};

#define NO_BASE	(~0ULL)

/* What libgcc has found (its unwind-dw2-fde.h, which is not installed). */
struct bases {
	void *text, *data, *function;
};

const void *_Unwind_Find_FDE(void *pc, struct bases *bases);

#define MOST_STATES	4

/* A reader of tables; @bad: they have what is not known here. */
struct reader {
	const __u8 *at, *end;
	bool bad;
	__u64 code_unit, place;
	__s64 data_unit;
	struct row row, initial, states[MOST_STATES];
	unsigned int nr_states;
};

static __u64 read_bytes(struct reader *reader, unsigned int bytes)
{
	__u64 value = 0;

	if (reader->end - reader->at < bytes) {
		reader->bad = true;
		reader->at = reader->end;
		return 0;
	}
	memcpy(&value, reader->at, bytes);
	reader->at += bytes;
	return value;
}

static __u64 read_leb(struct reader *reader, bool is_signed)
{
	unsigned int shift = 0;
	__u64 value = 0, byte;

	do {
		byte = read_bytes(reader, 1);
		if (shift < 64)
			value |= (byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80);
	if (is_signed && byte & 0x40 && shift < 64)
		value |= ~0ULL << shift;
	return value;
}

static __u64 uleb(struct reader *reader)
{
	return read_leb(reader, false);
}

static __s64 sleb(struct reader *reader)
{
	return read_leb(reader, true);
}

static void skip(struct reader *reader, __u64 bytes)
{
	if (bytes > (__u64)(reader->end - reader->at))
		reader->bad = true;
	else
		reader->at += bytes;
}

/* Where a register of the caller's is. */
static void set_slot(struct reader *reader, __u64 reg, unsigned int slot)
{
	if (reg == DWARF_RBP)
		reader->row.rbp = slot;
	if (reg == DWARF_RA)
		reader->row.ra = slot;
	if (reg == DWARF_RSP)
		reader->bad = true;
}

/* The same, by how far it is from the end of the frame. */
static void set_offset(struct reader *reader, __u64 reg, __s64 offset)
{
	bool fits = offset < 0 && offset % 8 == 0 && offset >= -8 * MOST_SLOT;

	set_slot(reader, reg, fits ? -offset / 8 : SLOT_OTHER);
}

static void restore(struct reader *reader, __u64 reg)
{
	if (reg == DWARF_RBP)
		reader->row.rbp = reader->initial.rbp;
	if (reg == DWARF_RA)
		reader->row.ra = reader->initial.ra;
}

static void push_state(struct reader *reader)
{
	if (reader->nr_states == MOST_STATES)
		reader->bad = true;
	else
		reader->states[reader->nr_states++] = reader->row;
}

static void pop_state(struct reader *reader)
{
	if (!reader->nr_states)
		reader->bad = true;
	else
		reader->row = reader->states[--reader->nr_states];
}

static void set_base(struct reader *reader, __u64 base, __s64 offset)
{
	reader->row.base = base;
	reader->row.offset = offset;
}

/* An instruction other than the three that have an operand in their own byte. */
static void obey_extended(struct reader *reader, unsigned int code)
{
	__u64 reg;

	switch (code) {
	case 0x00:	/* nop */
		break;
	case 0x02:	/* advance_loc1 */
	case 0x03:	/* advance_loc2 */
	case 0x04:	/* advance_loc4 */
		reader->place += read_bytes(reader, 1U << (code - 2)) * reader->code_unit;
		break;
	case 0x05:	/* offset_extended */
		reg = uleb(reader);
		set_offset(reader, reg, uleb(reader) * reader->data_unit);
		break;
	case 0x06:	/* restore_extended */
		restore(reader, uleb(reader));
		break;
	case 0x07:	/* undefined */
		reg = uleb(reader);
		set_slot(reader, reg, reg == DWARF_RA ? SLOT_NONE : SLOT_OTHER);
		break;
	case 0x08:	/* same_value */
		reg = uleb(reader);
		set_slot(reader, reg, reg == DWARF_RA ? SLOT_OTHER : SLOT_NONE);
		break;
	case 0x09:	/* register */
		set_slot(reader, uleb(reader), SLOT_OTHER);
		uleb(reader);
		break;
	case 0x0a:	/* remember_state */
		push_state(reader);
		break;
	case 0x0b:	/* restore_state */
		pop_state(reader);
		break;
	case 0x0c:	/* def_cfa */
		reg = uleb(reader);
		set_base(reader, reg, uleb(reader));
		break;
	case 0x0d:	/* def_cfa_register */
		reader->row.base = uleb(reader);
		break;
	case 0x0e:	/* def_cfa_offset */
		reader->row.offset = uleb(reader);
		break;
	case 0x0f:	/* def_cfa_expression */
		reader->row.base = NO_BASE;
		skip(reader, uleb(reader));
		break;
	case 0x10:	/* expression */
	case 0x16:	/* val_expression */
		set_slot(reader, uleb(reader), SLOT_OTHER);
		skip(reader, uleb(reader));
		break;
	case 0x11:	/* offset_extended_sf */
		reg = uleb(reader);
		set_offset(reader, reg, sleb(reader) * reader->data_unit);
		break;
	case 0x2e:	/* GNU_args_size */
		uleb(reader);
		break;
	default:
		reader->bad = true;
	}
}

static void obey(struct reader *reader)
{
	unsigned int code = read_bytes(reader, 1), operand = code & 0x3f;

	switch (code >> 6) {
	case 1:		/* advance_loc */
		reader->place += operand * reader->code_unit;
		break;
	case 2:		/* offset */
		set_offset(reader, operand, uleb(reader) * reader->data_unit);
		break;
	case 3:		/* restore */
		restore(reader, operand);
		break;
	default:
		obey_extended(reader, operand);
	}
}

/* All that is said of places up to @place. */
static void obey_until(struct reader *reader, __u64 place)
{
	struct row row;

	while (!reader->bad && reader->at < reader->end) {
		row = reader->row;
		obey(reader);
		if (reader->place > place) {
			reader->row = row;
			return;
		}
	}
}

/* Of a piece of the table: what follows its length. */
static void enter(struct reader *reader, const __u8 *entry)
{
	__u32 length;

	memcpy(&length, entry, sizeof(length));
	reader->at = entry + sizeof(length);
	/* All ones: it is one of 64 bits, which nobody makes. */
	reader->bad = length >= 0xfffffff0U;
	reader->end = reader->at + (reader->bad ? 0 : length);
}

/* Bytes of an address in the table; 0: it is encoded as none should be. */
static unsigned int address_bytes(__u64 encoding)
{
	static const __u8 bytes[] = { 8, 0, 2, 4, 8 };

	return (encoding & 7) < sizeof(bytes) ? bytes[encoding & 7] : 0;
}

/* The part that entries have in common; bytes of addresses in them, 0 if it is odd. */
static unsigned int read_common(struct reader *reader, const __u8 *entry)
{
	__u64 version, left, encoding = 0;
	const char *text;
	const __u8 *end;

	enter(reader, entry);
	skip(reader, 4);
	version = read_bytes(reader, 1);
	text = (const char *)reader->at;
	skip(reader, strnlen(text, reader->end - reader->at) + 1);
	if (reader->bad || *text != 'z')
		return 0;
	reader->code_unit = uleb(reader);
	reader->data_unit = sleb(reader);
	if ((version == 1 ? read_bytes(reader, 1) : uleb(reader)) != DWARF_RA)
		return 0;
	left = uleb(reader);
	end = reader->at;
	skip(reader, left);
	reader->at = end;
	end += left;
	while (!reader->bad && *++text) {
		if (*text == 'R')
			encoding = read_bytes(reader, 1);
		else if (*text == 'L')
			read_bytes(reader, 1);
		else if (*text == 'P')
			skip(reader, address_bytes(read_bytes(reader, 1)));
		else
			return 0;	/* S: what a signal has interrupted */
	}
	if (reader->bad)
		return 0;
	reader->at = end;
	obey_until(reader, ~0ULL);
	return address_bytes(encoding);
}

static unsigned int rule_of(const struct reader *reader)
{
	const struct row *row = &reader->row;

	if (!reader->bad && row->ra == SLOT_NONE)
		return RULE_END;
	if (reader->bad || row->ra != 1 || row->rbp == 1 || row->rbp > MOST_SLOT ||
	    (row->base != DWARF_RSP && row->base != DWARF_RBP) || row->offset < 8 ||
	    row->offset > MOST_OFFSET || row->offset % 8)
		return RULE_OTHER;
	return (row->base == DWARF_RBP ? RULE_BY_RBP : 0) | row->offset / 8 << 4 | row->rbp;
}

static unsigned int make_rule(__u64 place)
{
	struct reader reader = { .row = { .base = NO_BASE, .ra = SLOT_OTHER } };
	const __u8 *entry, *common;
	struct bases bases;
	unsigned int bytes;
	__s32 distance;

	entry = _Unwind_Find_FDE((void *)place, &bases);
	if (!entry)
		return RULE_END;
	memcpy(&distance, entry + 4, sizeof(distance));
	common = entry + 4 - distance;
	bytes = read_common(&reader, common);
	if (!bytes || reader.bad)
		return RULE_OTHER;
	reader.initial = reader.row;
	enter(&reader, entry);
	skip(&reader, 4 + 2 * bytes);
	skip(&reader, uleb(&reader));
	reader.place = (uintptr_t)bases.function;
	obey_until(&reader, place);
	return rule_of(&reader);
}

/* --- the table of them --- */

#define TABLE_BITS	12
#define STACKS		1024

static __u64 table[1 << TABLE_BITS];

static __u64 *word_of(__u64 place)
{
	return &table[place * 0x9e3779b97f4a7c15ULL >> (64 - TABLE_BITS)];
}

static unsigned int find_rule(__u64 place)
{
	__u64 word = __atomic_load_n(word_of(place), __ATOMIC_RELAXED);
	unsigned int rule;

	if (word >> RULE_BITS == place)
		return word & ((1U << RULE_BITS) - 1);
	rule = make_rule(place);
	__atomic_store_n(word_of(place), place << RULE_BITS | rule, __ATOMIC_RELAXED);
	return rule;
}

/* What has been unloaded is in no more stacks than these. */
static void empty_now_and_then(void)
{
	static unsigned int stacks;
	unsigned int i;

	if (__atomic_add_fetch(&stacks, 1, __ATOMIC_RELAXED) % STACKS)
		return;
	for (i = 0; i < 1 << TABLE_BITS; i++)
		__atomic_store_n(&table[i], 0, __ATOMIC_RELAXED);
}

/* --- the walk --- */

/* No frame is longer: what looks like it has an rbp that is none. */
#define MOST_FRAME	(1UL << 20)

struct walk {
	__u64 ip, sp, rbp;
};

/* To the caller, by @rule; false if that cannot be right. */
static bool step(struct walk *walk, unsigned int rule)
{
	__u64 end = (rule & RULE_BY_RBP ? walk->rbp : walk->sp) + RULE_OFFSET(rule);
	unsigned int slot = RULE_SLOT(rule);

	/* One that ends below its begin is a very long one. */
	if (end - walk->sp > MOST_FRAME || end - walk->sp < 8 * (slot ? slot : 1) || end % 8)
		return false;
	if (slot)
		walk->rbp = *(__u64 *)(end - 8 * slot);
	walk->ip = *(__u64 *)(end - 8);
	walk->sp = end;
	return true;
}

/* From @walk, where the code is that runs; false: libgcc has to tell. */
static bool fast_backtrace(struct walk *walk, __u64 *frame, unsigned int room, unsigned int *count)
{
	unsigned int rule = find_rule(walk->ip);

	for (*count = 0; rule != RULE_END && *count < room; (*count)++) {
		if (rule == RULE_OTHER || !step(walk, rule) || walk->ip >> (64 - RULE_BITS))
			return false;
		if (!walk->ip)
			return true;
		frame[*count] = walk->ip;
		/* Where the call is, behind which there may be another function. */
		rule = find_rule(walk->ip - 1);
	}
	return true;
}

#endif /* __x86_64__ */

__attribute__((noinline)) unsigned int karena_backtrace(__u64 *frame, unsigned int room)
{
#ifdef __x86_64__
	unsigned int count;
	struct walk here;

	__asm__ volatile("mov %%rsp, %0\n\tmov %%rbp, %1\n\tlea 0f(%%rip), %2\n0:"
			 : "=m"(here.sp), "=m"(here.rbp), "=r"(here.ip));
	empty_now_and_then();
	if (fast_backtrace(&here, frame, room, &count))
		return count;
#endif
	return slow_backtrace(frame, room, (uintptr_t)__builtin_return_address(0));
}
