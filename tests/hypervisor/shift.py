"""shift.py DIR BASE: moves every owner and group below DIR up by BASE, as the root of an unprivileged container
needs it. Set-user-id bits, which the kernel clears with a change of owner, are put back."""
import os
import stat
import sys


def shift(path, base):
    facts = os.lstat(path)
    os.lchown(path, facts.st_uid + base, facts.st_gid + base)
    if not stat.S_ISLNK(facts.st_mode) and facts.st_mode & 0o6000:
        os.chmod(path, stat.S_IMODE(facts.st_mode))


root, base = sys.argv[1], int(sys.argv[2])
shift(root, base)
for directory, directories, files in os.walk(root):
    for name in directories + files:
        shift(os.path.join(directory, name), base)
