/* SPDX-License-Identifier: BSD-2-Clause */
/* harm/tiny_x86_64.S - the least program there is: an exec storm measures the hold, not the loader */
	.text
	.globl _start
_start:
	mov	$60, %eax
	xor	%edi, %edi
	syscall

	.section .note.GNU-stack, "", @progbits
