"""System calls made from inside a live process of the release build, as one that was taken over would make them.

ptrace stops the process' main thread, which waits in a system call, and has it execute that same instruction with other
registers: the process' own user, filter and Landlock domain hold for it, as they would for the code of an attacker.  Nothing
in picketd helps with this."""
import ctypes
import os
import platform
import signal

import pytest

NR = {"open": 2, "close": 3, "mmap": 9, "mprotect": 10, "socket": 41, "connect": 42, "bind": 49, "clone": 56, "fork": 57, "execve": 59,
      "kill": 62, "truncate": 76, "ptrace": 101, "setuid": 105, "getppid": 110, "mount": 165, "tgkill": 234, "openat": 257, "unlinkat": 263,
      "process_vm_readv": 310, "bpf": 321, "execveat": 322, "io_uring_setup": 425}
AT_FDCWD = -100
O_RDONLY, O_RDWR, O_CREAT, O_CLOEXEC = 0, 2, 0o100, 0o2000000
KILLED = "SIGSYS"

GETREGS, SETREGS, SINGLESTEP, CONT, DETACH, SEIZE, INTERRUPT = 12, 13, 9, 7, 17, 0x4206, 0x4207
POKEDATA = 5

can_inject = pytest.mark.skipif(os.getuid() != 0 or platform.machine() != "x86_64",
                                reason="only root may attach to these processes; registers of x86-64")

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


class Regs(ctypes.Structure):
    _fields_ = [(n, ctypes.c_ulonglong) for n in
                "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss fs_base gs_base ds es fs gs".split()]


def ptrace(request, pid, addr=0, data=0):
    if libc.ptrace(request, pid, addr, data) != 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request}")


def poke(pid, addr, data):
    data += b"\0" * (8 - len(data) % 8)
    for i in range(0, len(data), 8):
        ptrace(POKEDATA, pid, addr + i, int.from_bytes(data[i:i + 8], "little"))


def wait_stop(pid):
    _, status = os.waitpid(pid, 0x40000000)  # __WALL: it is no child of ours
    return status


def call(pid, name, *args):
    """KILLED, or what the call returned (-errno on failure)."""
    ptrace(SEIZE, pid)
    ptrace(INTERRUPT, pid)
    assert os.WIFSTOPPED(wait_stop(pid))
    before, regs = Regs(), Regs()
    ptrace(GETREGS, pid, 0, ctypes.addressof(before))
    ctypes.memmove(ctypes.byref(regs), ctypes.byref(before), ctypes.sizeof(Regs))
    text = before.rsp - 4096  # below the stack in use
    values = []
    for a in args:
        if isinstance(a, str):
            poke(pid, text, a.encode() + b"\0")
            values.append(text)
            text += 512
        else:
            values.append(a & 0xFFFFFFFFFFFFFFFF)
    for register, value in zip(["rdi", "rsi", "rdx", "r10", "r8", "r9"], values):
        setattr(regs, register, value)
    regs.rax, regs.orig_rax = NR[name], 0xFFFFFFFFFFFFFFFF
    regs.rip = before.rip - 2  # it waits behind a syscall instruction
    ptrace(SETREGS, pid, 0, ctypes.addressof(regs))
    ptrace(SINGLESTEP, pid)
    status = wait_stop(pid)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGSYS, status
        return KILLED
    assert os.WIFSTOPPED(status) and os.WSTOPSIG(status) == signal.SIGTRAP, hex(status)
    ptrace(GETREGS, pid, 0, ctypes.addressof(regs))
    before.orig_rax = 0xFFFFFFFFFFFFFFFF
    before.rax = -4 & 0xFFFFFFFFFFFFFFFF  # the wait was interrupted
    ptrace(SETREGS, pid, 0, ctypes.addressof(before))
    ptrace(DETACH, pid)
    return ctypes.c_long(regs.rax).value
