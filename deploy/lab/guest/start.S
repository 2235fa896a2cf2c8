/* Multiboot entry, flat segments, one interrupt gate for the timer. */
	.set MAGIC, 0x1badb002
	.set FLAGS, 0x3

	.section .multiboot, "a"
	.align 4
	.long MAGIC
	.long FLAGS
	.long -(MAGIC + FLAGS)

	.text
	.global start
start:
	cli
	movl $stack_top, %esp
	lgdt gdt_pointer
	ljmp $0x08, $1f
1:	movw $0x10, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %fs
	movw %ax, %gs
	movw %ax, %ss
	lidt idt_pointer
	pushl %ebx
	call tick_main
2:	cli
	hlt
	jmp 2b

	/* The interrupt only has to end the halt; the main loop reads the time itself. */
	.global timer_entry
timer_entry:
	pushl %eax
	movb $0x20, %al
	outb %al, $0x20
	popl %eax
	iret

	.data
	.align 8
gdt:	.quad 0
	.quad 0x00cf9a000000ffff
	.quad 0x00cf92000000ffff
gdt_pointer:
	.word . - gdt - 1
	.long gdt

	.global idt
	.align 8
idt:	.fill 33, 8, 0
idt_pointer:
	.word 33 * 8 - 1
	.long idt

	.bss
	.align 16
	.skip 16384
stack_top:
