// SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0
/*
 * libkarena and libkarena-malloc: which calls have led to a sampled object
 * (KARENA_IOC_PROFILE).  The kernel can follow frame pointers only; here the tables for
 * exceptions are read, which programs have that have none.
 *
 * Who reads them may allocate, and would come here again.
 */
#include <errno.h>
#include <sys/ioctl.h>
#include <unwind.h>

#include "stack.h"

static __thread int busy __attribute__((tls_model("initial-exec")));

struct frames {
	__u32 count;
	__u64 frame[KARENA_MAX_FRAMES];
};

static _Unwind_Reason_Code add_frame(struct _Unwind_Context *context, void *arg)
{
	struct frames *frames = arg;
	__u64 ip = _Unwind_GetIP(context);

	if (!ip || frames->count == KARENA_MAX_FRAMES)
		return _URC_END_OF_STACK;
	frames->frame[frames->count++] = ip;
	return _URC_NO_REASON;
}

void karena_tell_stack(int fd, const void *object)
{
	struct frames frames = { .count = 0 };
	struct karena_calls args = {
		.size = sizeof(args),
		.object = (uintptr_t)object,
		.frames = (uintptr_t)frames.frame,
	};
	int saved = errno;

	if (busy)
		return;
	busy = 1;
	_Unwind_Backtrace(add_frame, &frames);
	busy = 0;
	args.count = frames.count;
	/* One that goes wrong has the kernel's stack. */
	if (args.count)
		ioctl(fd, KARENA_IOC_CALLS, &args);
	errno = saved;
}
