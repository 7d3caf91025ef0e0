# SPDX-License-Identifier: BSD-2-Clause
"""A real terminal with a program in it, driven as a person would: read until something is there, then type."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time

PROMPT = 'ready> '
CTRL_C, CTRL_Z, CTRL_BACKSLASH = '\x03', '\x1a', '\x1c'


class Terminal:
    """with Terminal(t, ['bash', ...]) as terminal: terminal.expect(...), terminal.type(...)"""

    def __init__(self, t, argv, env=None, rows=24, columns=100):
        self.t = t
        self.output = ''   # all that came
        self.read = 0      # what of it expect() has passed
        environment = dict(os.environ, TERM='xterm', HOME=str(t.tmp), **(env or {}))
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                os.chdir(t.tmp)
                os.execvpe(argv[0], [os.fspath(word) for word in argv], environment)
            finally:
                os._exit(127)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # The hang-up ends the session as closing a window does.
        os.close(self.fd)
        try:
            os.kill(self.pid, signal.SIGHUP)
            os.kill(self.pid, signal.SIGCONT)
        except ProcessLookupError:
            pass
        deadline = time.monotonic() + 5
        while os.waitpid(self.pid, os.WNOHANG)[0] == 0:
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                break
            time.sleep(0.01)

    def type(self, text):
        os.write(self.fd, text.encode())

    def expect(self, pattern, timeout=15):
        """Read until the pattern comes behind what was expected before; the match."""
        deadline = time.monotonic() + timeout * self.t.slow
        while True:
            match = re.compile(pattern).search(self.output, self.read)
            if match:
                self.read = match.end()
                return match
            left = deadline - time.monotonic()
            if left <= 0 or not self.more(left):
                self.t.fail(f'no {pattern!r} in: {self.output[self.read:]!r}')

    def type_until(self, text, pattern, timeout=15):
        """Type it again every second until the pattern comes."""
        deadline = time.monotonic() + timeout * self.t.slow
        while True:
            self.type(text)
            again = time.monotonic() + 1
            while time.monotonic() < again and self.more(again - time.monotonic()):
                match = re.compile(pattern).search(self.output, self.read)
                if match:
                    self.read = match.end()
                    return match
            if time.monotonic() > deadline:
                self.t.fail(f'no {pattern!r} in: {self.output[self.read:]!r}')

    def more(self, timeout):
        """Take in what comes; False at the end of all output or the time."""
        if not select.select([self.fd], [], [], timeout)[0]:
            return False
        try:
            data = os.read(self.fd, 65536)
        except OSError:   # EIO: nobody has the other end open
            return False
        self.output += data.decode('utf-8', 'backslashreplace')
        return bool(data)


class Shell(Terminal):
    """bash with job control and a prompt that is known."""

    def __init__(self, t, **options):
        super().__init__(t, [t.need('bash'), '--norc', '--noprofile', '-i'], **options)
        # In two pieces, or the echo of this line would be taken for the prompt.
        self.type("PS1='rea''dy> '; PS2=; bind 'set enable-bracketed-paste off'\n")
        self.expect(PROMPT)

    def start(self, command):
        """Type a command, and pass its echo."""
        self.type(command + '\n')
        self.expect(re.escape(command) + r'\r\n')

    def prompt(self):
        self.expect(PROMPT)

    def do(self, command):
        """What a command prints."""
        self.start(command)
        begin = self.read
        match = self.expect(PROMPT)
        return self.output[begin:match.start()].replace('\r\n', '\n')

    def status(self):
        return int(self.do('echo $?'))

    def stop_and_fetch(self, times):
        """Of a job that answers each line with got-LINE: Ctrl-Z and fg, then its input ends, and it."""
        for i in range(times):
            # Between fg's words and its SIGCONT a Ctrl-Z is lost, with or without a tracer: it must run first.
            self.type(f'{i}\n')
            self.expect(f'got-{i}\r\n')
            self.type(CTRL_Z)
            self.expect('Stopped')
            self.prompt()
            self.start('fg')
        self.type('last\n')
        self.expect('got-last\r\n')
        self.type('\x04')
        self.prompt()
