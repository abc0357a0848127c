/* Lets the n-th change of a file below a folder fail: preloaded into a process, armed by io_fault().
 *
 * Counted are opening for writing, writing, flushing, renaming, linking, deleting and making a folder, whoever calls
 * them: Python, Arrow, SQLite. Only what lies below the folder of the environment variable IO_FAULT_BELOW counts.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static long counted = 0, fails_at = -1;
static int fails_with = ENOSPC, sticky = 0;
static char what[64] = "";

/* at: which change fails, from 1; 0 only counts. stays: all later ones fail, too, as on a full disk. */
void io_fault(long at, int error, int stays) {
    counted = 0;
    fails_at = at;
    fails_with = error;
    sticky = stays;
    what[0] = 0;
}

long io_count(void) { return counted; }
const char *io_failed(void) { return what; }

static int below(const char *path) {
    const char *folder = getenv("IO_FAULT_BELOW");
    size_t length = folder ? strlen(folder) : 0;
    return length && strncmp(path, folder, length) == 0 && (path[length] == '/' || path[length] == 0);
}

static void absolute(int dir, const char *path, char *out) {
    char base[PATH_MAX] = "";
    if (path[0] == '/') {
        snprintf(out, PATH_MAX, "%s", path);
        return;
    }
    if (dir == AT_FDCWD) {
        if (!getcwd(base, sizeof base)) base[0] = 0;
    } else {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
        ssize_t length = readlink(link, base, sizeof base - 1);
        base[length > 0 ? length : 0] = 0;
    }
    if (snprintf(out, PATH_MAX, "%s/%s", base, path) >= PATH_MAX) out[0] = 0;
}

/* Whether this change fails; errno is set if it does. */
static int fails(const char *name, const char *path) {
    if (fails_at < 0 || !below(path)) return 0;
    long now = __sync_add_and_fetch(&counted, 1);
    if (fails_at == 0 || now < fails_at || (now > fails_at && !sticky)) return 0;
    if (now == fails_at) snprintf(what, sizeof what, "%s", name);
    errno = fails_with;
    return 1;
}

static int path_fails(const char *name, int dir, const char *path) {
    char whole[PATH_MAX];
    if (fails_at < 0) return 0;
    absolute(dir, path, whole);
    return fails(name, whole);
}

static int handle_fails(const char *name, int handle) {
    char link[64], path[PATH_MAX];
    if (fails_at < 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return fails(name, path);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define OPENS(name, DIR, ...)                                                                      \
    mode_t mode = 0;                                                                               \
    if (flags & (O_CREAT | O_TMPFILE)) {                                                           \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        mode = va_arg(rest, mode_t);                                                               \
        va_end(rest);                                                                              \
    }                                                                                              \
    if ((flags & (O_WRONLY | O_RDWR | O_CREAT)) && path_fails("open", DIR, path)) return -1;       \
    return REAL(name)(__VA_ARGS__, mode);

int open(const char *path, int flags, ...) { OPENS(open, AT_FDCWD, path, flags) }
int open64(const char *path, int flags, ...) { OPENS(open64, AT_FDCWD, path, flags) }
int openat(int dir, const char *path, int flags, ...) { OPENS(openat, dir, dir, path, flags) }
int openat64(int dir, const char *path, int flags, ...) { OPENS(openat64, dir, dir, path, flags) }

ssize_t write(int handle, const void *data, size_t size) {
    return handle_fails("write", handle) ? -1 : REAL(write)(handle, data, size);
}
ssize_t pwrite(int handle, const void *data, size_t size, off_t at) {
    return handle_fails("write", handle) ? -1 : REAL(pwrite)(handle, data, size, at);
}
ssize_t pwrite64(int handle, const void *data, size_t size, off64_t at) {
    return handle_fails("write", handle) ? -1 : REAL(pwrite64)(handle, data, size, at);
}
ssize_t writev(int handle, const struct iovec *parts, int count) {
    return handle_fails("write", handle) ? -1 : REAL(writev)(handle, parts, count);
}
int fsync(int handle) { return handle_fails("fsync", handle) ? -1 : REAL(fsync)(handle); }
int fdatasync(int handle) { return handle_fails("fsync", handle) ? -1 : REAL(fdatasync)(handle); }
int rename(const char *from, const char *to) {
    return path_fails("rename", AT_FDCWD, from) ? -1 : REAL(rename)(from, to);
}
int renameat(int from_dir, const char *from, int to_dir, const char *to) {
    return path_fails("rename", from_dir, from) ? -1 : REAL(renameat)(from_dir, from, to_dir, to);
}
int link(const char *from, const char *to) { return path_fails("link", AT_FDCWD, to) ? -1 : REAL(link)(from, to); }
int symlink(const char *from, const char *to) {
    return path_fails("symlink", AT_FDCWD, to) ? -1 : REAL(symlink)(from, to);
}
int symlinkat(const char *from, int dir, const char *to) {
    return path_fails("symlink", dir, to) ? -1 : REAL(symlinkat)(from, dir, to);
}
int unlink(const char *path) { return path_fails("unlink", AT_FDCWD, path) ? -1 : REAL(unlink)(path); }
int unlinkat(int dir, const char *path, int flags) {
    return path_fails("unlink", dir, path) ? -1 : REAL(unlinkat)(dir, path, flags);
}
int rmdir(const char *path) { return path_fails("unlink", AT_FDCWD, path) ? -1 : REAL(rmdir)(path); }
int mkdir(const char *path, mode_t mode) { return path_fails("mkdir", AT_FDCWD, path) ? -1 : REAL(mkdir)(path, mode); }
int mkdirat(int dir, const char *path, mode_t mode) {
    return path_fails("mkdir", dir, path) ? -1 : REAL(mkdirat)(dir, path, mode);
}
