/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * harm/sites_x86_64.S - functions whose trapped instruction is known to the byte
 *
 * long site_X(long n) returns n + 7, but for site_return (nothing) and site_syscall (the pid). Each has the
 * trap on its first instruction, save for site_far_at and site_syscall_at, which stand further in.
 */
	.text

	.macro function name
	.p2align 4
	.globl \name
	.type \name, @function
\name:
	.endm

	/* emulated */
	function site_push
	push	%rbp
	mov	%rsp, %rbp
	lea	7(%rdi), %rax
	pop	%rbp
	ret

	function site_endbr
	endbr64
	lea	7(%rdi), %rax
	ret

	function site_lea
	lea	7(%rdi), %rax
	ret

	function site_return
	ret

	/* run out of line: plain, with an operand relative to its own place, and a branch */
	function site_slot
	imul	$1, %rdi, %rax
	add	$7, %rax
	ret

	function site_slot_rip
	add	seven(%rip), %rdi
	mov	%rdi, %rax
	ret

	function site_slot_branch
	jrcxz	1f
1:	lea	7(%rdi), %rax
	ret

	/* a far return cannot be moved by anybody who does not know what it pops: stepped in place */
	function site_far
	lea	7(%rdi), %rax
	pop	%rdx
	mov	%cs, %ecx
	push	%rcx
	push	%rdx
	.globl site_far_at
site_far_at:
	lretq

	/* getpid; the kernel leaves the address behind it in rcx and the flags in r11 */
	function site_syscall
	mov	$39, %eax
	.globl site_syscall_at
site_syscall_at:
	syscall
	ret

	.section .rodata
	.p2align 3
seven:	.quad	7

	.section .note.GNU-stack, "", @progbits
