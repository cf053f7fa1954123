// SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0
/*
 * libkarena and libkarena-malloc: which calls have led to a sampled object
 * (KARENA_IOC_PROFILE).  The kernel can follow frame pointers only, which most programs
 * have not.
 *
 * Who looks for calls may allocate, and would come here again.
 */
#include <errno.h>
#include <sys/ioctl.h>

#include "stack.h"
#include "unwind.h"

static __thread int busy __attribute__((tls_model("initial-exec")));

void karena_tell_stack(int fd, const void *object)
{
	__u64 frame[KARENA_MAX_FRAMES];
	struct karena_calls args = {
		.size = sizeof(args),
		.object = (uintptr_t)object,
		.frames = (uintptr_t)frame,
	};
	int saved = errno;

	if (busy)
		return;
	busy = 1;
	args.count = karena_backtrace(frame, KARENA_MAX_FRAMES);
	busy = 0;
	/* One that goes wrong has the kernel's stack. */
	if (args.count)
		ioctl(fd, KARENA_IOC_CALLS, &args);
	errno = saved;
}
