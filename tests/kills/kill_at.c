/* Kills the process at one of its file operations, as a power cut or the kernel's OOM killer would.

   Preloaded, it counts the calls that change files below a folder: open for writing, write, rename,
   unlink, mkdir, rmdir, truncate, link. `arm` sets the folder and the number of the call that is
   not made: the process is killed in its place, or after half of what it writes. `halvable`
   returns a letter for each call: `w` where half of it can be made, else `-`. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static char root[PATH_MAX];
static long calls, deadly = -1;
static int tearing;
enum { FILES = 4096 };
static char watched[FILES];
enum { LETTERS = 1 << 16 };
static char letters[LETTERS];

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

void arm(const char *folder, long at, int torn) {
    snprintf(root, sizeof root, "%s", folder);
    calls = 0;
    deadly = at;
    tearing = torn;
    memset(watched, 0, sizeof watched);
    memset(letters, 0, sizeof letters);
}

const char *halvable(void) { return letters; }

static void die(void) {
    kill(getpid(), SIGKILL);
    pause();
}

static int below(const char *path) {
    size_t length = strlen(root);
    return !strncmp(path, root, length) && (path[length] == '/' || !path[length]);
}

static int inside(int folder, const char *path) {
    char absolute[2 * PATH_MAX], base[PATH_MAX], link[64];
    ssize_t found;
    if (!*root || !path) return 0;
    if (*path == '/') return below(path);
    if (folder == AT_FDCWD) {
        if (!getcwd(base, sizeof base)) return 0;
    } else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        found = readlink(link, base, sizeof base - 1);
        if (found < 0) return 0;
        base[found] = 0;
    }
    snprintf(absolute, sizeof absolute, "%s/%s", base, path);
    return below(absolute);
}

static int deadly_call(char letter) {
    if (calls + 1 < LETTERS) letters[calls] = letter;
    return ++calls == deadly;
}

static void before(int folder, const char *path) {
    if (inside(folder, path) && deadly_call('-')) die();
}

#define WRITES(flags) (((flags) & O_ACCMODE) != O_RDONLY || ((flags) & (O_CREAT | O_TRUNC)))

static int opened(int file, int folder, const char *path, int flags) {
    if (file >= 0 && file < FILES) watched[file] = WRITES(flags) && inside(folder, path);
    return file;
}

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        REAL(name); \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = va_arg(rest, mode_t); \
        va_end(rest); \
        if (WRITES(flags)) before(AT_FDCWD, path); \
        return opened(real(path, flags, mode), AT_FDCWD, path, flags); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        REAL(name); \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = va_arg(rest, mode_t); \
        va_end(rest); \
        if (WRITES(flags)) before(folder, path); \
        return opened(real(folder, path, flags, mode), folder, path, flags); \
    }
OPENAT(openat)
OPENAT(openat64)

int close(int file) {
    REAL(close);
    if (file >= 0 && file < FILES) watched[file] = 0;
    return real(file);
}

static int watching(int file) { return file >= 0 && file < FILES && watched[file]; }

ssize_t write(int file, const void *bytes, size_t count) {
    REAL(write);
    if (watching(file) && deadly_call(count > 1 ? 'w' : '-')) {
        if (tearing && real(file, bytes, count / 2) < 0) perror("write");
        die();
    }
    return real(file, bytes, count);
}

ssize_t writev(int file, const struct iovec *parts, int count) {
    REAL(writev);
    if (watching(file) && deadly_call('-')) die();
    return real(file, parts, count);
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t at) {
    REAL(pwrite64);
    if (watching(file) && deadly_call('-')) die();
    return real(file, bytes, count, at);
}

int ftruncate64(int file, off64_t length) {
    REAL(ftruncate64);
    if (watching(file) && deadly_call('-')) die();
    return real(file, length);
}

int rename(const char *old, const char *new) {
    REAL(rename);
    before(AT_FDCWD, new);
    return real(old, new);
}

int renameat(int from, const char *old, int to, const char *new) {
    REAL(renameat);
    before(to, new);
    return real(from, old, to, new);
}

int unlink(const char *path) {
    REAL(unlink);
    before(AT_FDCWD, path);
    return real(path);
}

int unlinkat(int folder, const char *path, int flags) {
    REAL(unlinkat);
    before(folder, path);
    return real(folder, path, flags);
}

int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    before(AT_FDCWD, path);
    return real(path, mode);
}

int mkdirat(int folder, const char *path, mode_t mode) {
    REAL(mkdirat);
    before(folder, path);
    return real(folder, path, mode);
}

int rmdir(const char *path) {
    REAL(rmdir);
    before(AT_FDCWD, path);
    return real(path);
}

int link(const char *old, const char *new) {
    REAL(link);
    before(AT_FDCWD, new);
    return real(old, new);
}

int symlink(const char *old, const char *new) {
    REAL(symlink);
    before(AT_FDCWD, new);
    return real(old, new);
}
