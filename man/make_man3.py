#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""make_man3.py VERSION OUTPUT_DIR HEADER...: man/*.3 from the comments of the public headers

The comment before a declaration is the manual; nothing is written twice. What a comment of a function says:

    /**
     * tether_NAME - what it does, in one line
     * @parameter: what it is, in which unit, who owns it   @another: on the same line, after three spaces
     * Return: ...       Threads: ...      See: the manual pages or kernel documents behind it
     * Blocks: Victim: Release: ...        where they apply
     *
     * Free paragraphs.
     */

With --check LIBRARY instead of OUTPUT_DIR it says what is missing: a symbol that the library exports without an
entry, an entry that is not exported, an entry that does not tell all of the above. Status 1 when there is any.
"""
import pathlib
import re
import shutil
import subprocess
import sys

TAGS = {'Return': 'RETURN VALUE', 'Blocks': 'BLOCKING', 'Threads': 'THREADS', 'Victim': 'WHAT BECOMES OF THE VICTIM',
        'Release': 'OWNERSHIP'}
MONTHS = 'January February March April May June July August September October November December'.split()
# What a page quotes, followed from the declaration to a depth that keeps the page about its function.
QUOTED = re.compile(r'\b(?:struct|enum) (tether_\w+)|\b(tether_\w+_fn)\b')


class Entry:
    def __init__(self, name, what, comment, declaration, header):
        self.name, self.what, self.header = name, what, header
        self.declaration = ' '.join(declaration.replace('TETHER_API', '').split())
        self.parameters, self.tags, self.see, self.free = [], {}, '', []
        self.read(comment)

    def read(self, lines):
        """Parameters and tags, each with the lines that continue it; an empty line begins a free paragraph."""
        tag, blocks = None, []
        for line in lines:
            text = line.strip()
            found = re.match(r'(' + '|'.join([*TAGS, 'See']) + r'): *(.*)', text)
            if not text:
                tag = None
            elif text.startswith('@'):
                for piece in re.split(r'\s{3,}(?=@)', text):
                    tag = list(re.match(r'@(\w+):\s*(.*)', piece).groups())
                    blocks.append(tag)
            elif found:
                tag = [found[1] + ':', found[2]]
                blocks.append(tag)
            elif tag:
                tag[1] += ' ' + text
            else:
                tag = ['', text]
                blocks.append(tag)
        for name, text in blocks:
            if not name:
                self.free.append(text)
            elif name == 'See:':
                self.see = text
            elif name.endswith(':'):
                self.tags[name[:-1]] = text
            else:
                self.parameters.append((name, text))

    def arguments(self):
        inside = self.declaration[self.declaration.index('(') + 1:self.declaration.rindex(')')]
        return [] if inside.strip() == 'void' else [re.search(r'(\w+)$', piece.strip())[1] for piece in inside.split(',')]

    def missing(self):
        told = [name for name, _ in self.parameters]
        gaps = [f'@{name}' for name in self.arguments() if name not in told]
        gaps += [f'@{name}, which is no parameter' for name in told if name not in self.arguments()]
        wanted = ['Threads'] if self.declaration.startswith('void') else ['Return', 'Threads']
        gaps += [f'{tag}:' for tag in wanted if tag not in self.tags]
        return gaps if self.see else gaps + ['See:']


def comments_of(text):
    """(lines of the comment, what stands behind it) of each documenting comment."""
    for found in re.finditer(r'/\*\*\n(.*?)\*/\n', text, re.DOTALL):
        yield [re.sub(r'^ \* ?', '', line) for line in found[1].rstrip().splitlines()], text[found.end():]


def read_headers(paths):
    """Entries of functions, texts of types by name, introductions of headers."""
    entries, types, introductions = [], {}, {}
    for path in sorted(paths):
        text = path.read_text()
        for lines, behind in comments_of(text):
            head = re.match(r'(?:struct )?(\S+) - (.*)', lines[0].strip())
            if not head:
                continue
            declaration = re.match(r'TETHER_API[^;]*;', behind)
            if declaration and re.search(r'\b' + head[1] + r'\(', declaration[0]):
                entries.append(Entry(head[1], head[2], lines[1:], declaration[0][:-1], path.name))
            elif head[1].startswith('tether/'):
                introductions[path.name] = (head[2], lines[1:])
        for found in re.finditer(r'^(?:struct|enum) (tether_\w+) \{.*?^\};|^(?:struct|enum) (tether_\w+) \{[^\n]*\};',
                                 text, re.DOTALL | re.MULTILINE):
            types[found[1] or found[2]] = found[0]
        for found in re.finditer(r'(?:^/\*(?:(?!\*/).)*\*/\n)?^typedef [^;]*?\b(tether_\w+_fn)\([^;]*;', text,
                                 re.DOTALL | re.MULTILINE):
            types[found[1]] = found[0]
    return entries, types, introductions


# ---- pages ---------------------------------------------------------------------------------------------------


def roff(text):
    """Text that troff prints as it is."""
    text = text.replace('\\', '\\e').replace('-', '\\-')
    return re.sub(r'^([.\'])', r'\\&\1', text, flags=re.MULTILINE)


def prose(text):
    """Names of functions and manual pages in bold, parameters (@name) in italics."""
    out = []
    for word in re.split(r'(\b\w+\(\d\w*\)|\btether_\w+(?:\(\))?|@\w+)', text):
        if word.startswith('@'):
            out.append('\\fI' + roff(word[1:]) + '\\fP')
        elif re.fullmatch(r'\w+\(\d\w*\)|tether_\w+(\(\))?', word):
            out.append('\\fB' + roff(word) + '\\fP')
        else:
            out.append(roff(word))
    return ''.join(out)


def literal(text):
    return '.nf\n.ft CR\n' + roff(text.expandtabs(8)) + '\n.ft\n.fi\n'


def header_of(name, version, date):
    return f'.\\" Made from the public headers by make_man3.py.\n.TH {name} 3 "{date}" "tether {version}" "libtether"\n'


def quoted_types(declaration, types):
    """Types named by the declaration, and those that these name, in that order."""
    names, todo = [], [declaration]
    for _ in range(2):
        found = [a or b for text in todo for a, b in QUOTED.findall(text)]
        fresh = [name for name in dict.fromkeys(found) if name in types and name not in names]
        names += fresh
        todo = [types[name] for name in fresh if not name.startswith('tether_event')]
    return names


def synopsis(entry):
    result, name, arguments = re.match(r'(.*?)(\w+)(\(.*)', entry.declaration, re.DOTALL).groups()
    pieces = arguments[1:-1].split(', ')
    lines, line = [], '(' + pieces[0]
    for piece in pieces[1:]:
        if len(result + name + line + piece) > 74:
            lines.append(line + ',')
            line = ' ' * len(result + name) + ' ' + piece
        else:
            line += ', ' + piece
    lines.append(line + ');')
    return f'{result}{name}' + '\n'.join(lines)


def page(entry, types, others, version, date):
    out = [header_of(entry.name, version, date)]
    out.append(f'.SH NAME\n{entry.name} \\- {roff(entry.what)}\n')
    out.append('.SH LIBRARY\ntether, \\fI\\-ltether\\fP\n.SH SYNOPSIS\n' + literal(f'#include <tether/{entry.header}>\n'))
    out.append(literal('\n' + synopsis(entry)))
    out.append('.SH DESCRIPTION\n' + prose(entry.what[0].upper() + entry.what[1:]) + '.\n')
    for text in entry.free:
        out.append('.PP\n' + prose(text) + '\n')
    for name, text in entry.parameters:
        out.append(f'.TP\n.I {name}\n{prose(text)}\n')
    for tag, title in TAGS.items():
        if tag in entry.tags:
            out.append(f'.SH {title}\n{prose(entry.tags[tag])}\n')
    for name in quoted_types(entry.declaration, types):
        out.append(f'.SH {name.upper()}\n' + literal(types[name]))
    see = [entry.see] if entry.see else []
    see += [f'{other.name}(3)' for other in others if other is not entry and other.header == entry.header]
    out.append('.SH SEE ALSO\n' + prose(', '.join([*see, 'libtether(3)', 'tether(1)'])) + '\n')
    return ''.join(out)


def overview(entries, introductions, headers, version, date):
    out = [header_of('libtether', version, date)]
    out.append('.SH NAME\nlibtether \\- hold processes without harming them\n.SH LIBRARY\ntether, \\fI\\-ltether\\fP\n')
    out.append('.SH SYNOPSIS\n' + literal('#include <tether/tether.h>') + '.SH DESCRIPTION\n')
    for name, (what, lines) in introductions.items():
        out.append(f'.SS <tether/{name}>: {roff(what)}\n')
        for paragraph in re.split(r'\n\n', '\n'.join(lines).strip()):
            shown = '\n'.join(line[1:] if line.startswith('\t') else line for line in paragraph.splitlines())
            out.append('.PP\n' + (literal(shown) if paragraph.startswith('\t') else prose(' '.join(paragraph.split())) + '\n'))
        for entry in entries:
            if entry.header == name:
                out.append(f'.TP\n.BR {entry.name} (3)\n{prose(entry.what)}\n')
    out.append('.SH ERRORS\nBeside the negated values of \\fBerrno\\fP(3):\n')
    text = next(path for path in headers if path.name == 'error.h').read_text()
    table = text[text.index('#define TETHER_ERRORS'):text.index('enum tether_error_code')]
    for name, what, cure in re.findall(r'X\(\d+, (\w+), "([^"]*)",[\s\\]*"([^"]*)"', table):
        out.append(f'.TP\n.B TETHER_{name}\n{prose(what)}; {prose(cure)}\n')
    out.append('.SH SEE ALSO\n' + prose('tether(1), ptrace(2), process_vm_readv(2), proc(5), errno(3)') + '\n')
    return ''.join(out)


def date_of(header):
    """Of the last commit to the headers; none where there is no git."""
    try:
        when = subprocess.run(['git', 'log', '-1', '--format=%cs', '--', str(header.parent)], cwd=header.parent,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout.split('-')
        return f'{MONTHS[int(when[1]) - 1]} {int(when[2])}, {when[0]}'
    except (OSError, subprocess.CalledProcessError, IndexError, ValueError):
        return ''


def check(entries, library):
    listed = subprocess.run(['nm', '-D', '--defined-only', library], stdout=subprocess.PIPE, text=True, check=True).stdout
    exported = {fields[2].split('@')[0] for fields in map(str.split, listed.splitlines()) if fields[1] in 'TDBRW'}
    told = {entry.name for entry in entries}
    breaches = [f'{name} is exported and has no entry' for name in sorted(exported - told)]
    breaches += [f'{name} has an entry and is not exported' for name in sorted(told - exported)]
    breaches += [f'{entry.name} ({entry.header}): {gap} is missing' for entry in entries for gap in entry.missing()]
    print('\n'.join(breaches))
    return 1 if breaches or not entries else 0


def main(words):
    if words[0] == '--check':
        headers = [pathlib.Path(word) for word in words[2:]]
        return check(read_headers(headers)[0], words[1])
    version, output, headers = words[0], pathlib.Path(words[1]), [pathlib.Path(word) for word in words[2:]]
    entries, types, introductions = read_headers(headers)
    date = date_of(headers[0])
    # A page whose function is gone must not be installed for ever.
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    for entry in entries:
        (output / f'{entry.name}.3').write_text(page(entry, types, entries, version, date))
    (output / 'libtether.3').write_text(overview(entries, introductions, headers, version, date))
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
