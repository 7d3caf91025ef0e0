/* SPDX-License-Identifier: BSD-2-Clause */
/* A 32-bit program that ends at once. */
	.code32
	.globl _start
_start:
	mov $1, %eax
	xor %ebx, %ebx
	int $0x80
	.section .note.GNU-stack, "", @progbits
