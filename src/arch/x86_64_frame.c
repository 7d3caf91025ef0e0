/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * arch/x86_64_frame.c - the frame that the kernel writes for a signal handler, as rt_sigreturn reads it back
 *
 *	0    address of the restorer     the handler returns to it
 *	8    ucontext: flags, link, stack
 *	48   sigcontext: the registers of what was interrupted, and 32 bits of the mask for old programs
 *	304  the mask of what was interrupted
 */
#include "arch/arch.h"

#include <assert.h>
#include <string.h>

enum {
	AT_FLAGS = 8,
	AT_LINK = 16,
	AT_CONTEXT = 48,
	AT_SP = AT_CONTEXT + 15 * 8,
	AT_CS = AT_CONTEXT + 18 * 8,
	AT_OLD_MASK = AT_CONTEXT + 21 * 8,
	AT_MASK = AT_CONTEXT + 32 * 8,
	FLAGS_KNOWN = 7, /* UC_FP_XSTATE, UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS: <asm/ucontext.h> */
	USER_CS = 0x33,
};
static_assert((int)AT_MASK + 8 == (int)ARCH_SIGNAL_FRAME_SIZE, "the mask ends the part that is looked at");

static uint64_t word_at(const unsigned char *bytes, size_t offset)
{
	uint64_t word;

	memcpy(&word, bytes + offset, sizeof(word));
	return word;
}

bool arch_signal_frame(const unsigned char bytes[ARCH_SIGNAL_FRAME_SIZE], struct arch_signal_frame *ret)
{
	uint16_t cs;

	memcpy(&cs, bytes + AT_CS, sizeof(cs));
	if (word_at(bytes, AT_FLAGS) & ~(uint64_t)FLAGS_KNOWN || word_at(bytes, AT_LINK) || cs != USER_CS ||
	    word_at(bytes, AT_OLD_MASK) != word_at(bytes, AT_MASK))
		return false;
	*ret = (struct arch_signal_frame){
		.restorer = word_at(bytes, 0),
		.mask = word_at(bytes, AT_MASK),
		.sp = word_at(bytes, AT_SP),
	};
	return true;
}

bool arch_is_sigreturn(const unsigned char bytes[ARCH_SIGRETURN_BYTES])
{
	/* the call's number into (r|e)ax, as C libraries write it; unwinders know them by the same bytes */
	static const unsigned char wide[] = { 0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05 };
	static const unsigned char narrow[] = { 0xb8, 0x0f, 0, 0, 0, 0x0f, 0x05 };

	return !memcmp(bytes, wide, sizeof(wide)) || !memcmp(bytes, narrow, sizeof(narrow));
}

/* sp points to a struct ucontext then (asm/ucontext.h, asm/sigcontext.h). */
#define SIGCONTEXT(n) (40 + 8 * (n))
const uint16_t arch_sigreturn_offsets[ARCH_DWARF_REGISTERS] = {
	SIGCONTEXT(13), SIGCONTEXT(12), SIGCONTEXT(14), SIGCONTEXT(11), SIGCONTEXT(9), SIGCONTEXT(8),
	SIGCONTEXT(10), SIGCONTEXT(15), SIGCONTEXT(0),  SIGCONTEXT(1),  SIGCONTEXT(2), SIGCONTEXT(3),
	SIGCONTEXT(4),  SIGCONTEXT(5),  SIGCONTEXT(6),  SIGCONTEXT(7),  SIGCONTEXT(16),
};
