"""Nothing but the libraries can be read, and nothing at all be written."""

from __future__ import annotations

import pytest

from grader.sandbox.levels import Layer
from tests.project.sandbox.conftest import Arena, Attack, check_attack, table

READS = {  # what returns the secret's text
    "opens it": "open('SECRET').read()",
    "opens it with os.open": "__import__('os').read(__import__('os').open('SECRET', 0), 100).decode()",
    "goes up from the working directory": "open('../../..' + 'SECRET').read()",
    "goes through /proc/self/root": "open('/proc/self/root' + 'SECRET').read()",
    "goes through a folder's descriptor": (
        "open(__import__('os').open('secret.txt', 0, dir_fd=__import__('os').open('FOLDER', 0o10000000))).read()"
    ),
    "maps it into memory": "bytes(__import__('numpy').memmap('SECRET', mode='r')).decode()",
    "lets torch read it": (
        "bytes((t := __import__('torch')).from_file('SECRET', shared=False, size=13, dtype=t.uint8)).decode()"
    ),
    "lets linecache read it": "__import__('linecache').getline('SECRET', 1)",
    "lets the import system read it": "__import__('importlib.util').util.spec_from_file_location and "
    "__import__('importlib.machinery').machinery.SourceFileLoader('x', 'SECRET').get_data('SECRET').decode()",
    "asks a C library": (
        "(lambda c, b: (c.fread(b, 1, 13, c.fopen(b'SECRET', b'r')), b.value.decode())[1])"
        "(*(lambda t: ((setattr(l := t.CDLL(None), 'x', 0), setattr(l.fopen, 'restype', t.c_void_p), "
        "setattr(l.fread, 'argtypes', [t.c_void_p, t.c_size_t, t.c_size_t, t.c_void_p]), l)[-1], "
        "t.create_string_buffer(20)))(__import__('ctypes')))"
    ),
}

# what must hold after the attack, beyond its own words
LOOKS = table(
    """
## lists a folder
import os
def attack():
    return 'worked' if os.listdir('FOLDER') else 'empty'

## walks the disk
import os
def attack():
    return 'worked' if list(os.scandir('/home')) or os.listdir('/') else ''

## reads the passwords' file
def attack():
    return 'worked' if open('/etc/passwd').read() else ''

## reads the judge's memory map
def attack():
    return 'worked' if open('/proc/JUDGE/maps').read() else ''

## reads the judge's environment
def attack():
    return 'worked' if open('/proc/JUDGE/environ').read() else ''

## reads the judge's memory
def attack():
    start = int(open('/proc/JUDGE/maps').readline().split('-')[0], 16)
    memory = open('/proc/JUDGE/mem', 'rb')
    memory.seek(start)
    return 'worked' if memory.read(10) else ''

## reads the judge's command line
def attack():
    return 'worked' if open('/proc/JUDGE/cmdline').read() else ''
"""
)

WRITES = {  # what changes FOLDER, and looks whether it did: what is opened to be written may be the null device
    "writes a file": "open('FOLDER/new', 'w').write('x'); os.stat('FOLDER/new')",
    "overwrites a file": "open('SECRET', 'w').close(); assert not os.stat('SECRET').st_size",
    "appends to a file": "open('SECRET', 'a').write('x' * 99); assert os.stat('SECRET').st_size > 99",
    "truncates a file": "os.truncate('SECRET', 0)",
    "deletes a file": "os.unlink('SECRET')",
    "renames a file": "os.rename('SECRET', 'FOLDER/other')",
    "makes a folder": "os.mkdir('FOLDER/new'); os.stat('FOLDER/new')",
    "makes a symbolic link": "os.symlink('SECRET', 'FOLDER/link')",
    "makes a hard link": "os.link('SECRET', 'FOLDER/link')",
    "makes a named pipe": "os.mkfifo('FOLDER/pipe')",
    "makes everything readable": "os.chmod('SECRET', 0o777)",
    "changes a file's times": "os.utime('SECRET', (0, 0))",
    "fills a database": "__import__('sqlite3').connect('FOLDER/grades.db').execute('create table t (x)')",
    "saves a tensor": "__import__('torch').save(1, 'FOLDER/model.pt'); os.stat('FOLDER/model.pt')",
    "leaves byte code": "__import__('py_compile').compile(os.__file__, 'FOLDER/x.pyc', doraise=True)",
    "sets an extended attribute": "os.setxattr('SECRET', 'user.x', b'1')",
}

BOTH: tuple[Layer, ...] = ("landlock", "seccomp", "limits")


@pytest.mark.parametrize("how", READS)
def test_reading(how: str, bare: Arena, best: Arena):
    code = f"def attack():\n    return 'worked' if {READS[how]}.startswith('the reference') else 'no'"
    check_attack(Attack(how, code, ("landlock",)), bare, best)


@pytest.mark.parametrize("how", LOOKS)
def test_looking_around(how: str, bare: Arena, best: Arena):
    check_attack(Attack(how, LOOKS[how], ("landlock", "capabilities")), bare, best)


@pytest.mark.parametrize("how", WRITES)
def test_writing(how: str, bare: Arena, best: Arena):
    code = f"import os\ndef attack():\n    {WRITES[how]}\n    return 'worked'"
    check_attack(Attack(how, code, BOTH), bare, best)


def test_shared_memory_is_closed_too(bare: Arena, best: Arena):
    code = (
        "import os\ndef attack():\n    open('/dev/shm/stubformer-attack', 'w').write('x')\n"
        "    os.unlink('/dev/shm/stubformer-attack')\n    return 'worked'"
    )
    check_attack(Attack("shared memory", code, BOTH), bare, best)
