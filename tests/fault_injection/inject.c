/* A library to be preloaded (LD_PRELOAD): it fails the N-th call that touches a file below a folder, or kills there.
 *
 * What it does stands in the file that STAR_FAULTS names, which is mapped, so that a parent can change it between two
 * children: see `Plan`. Calls are counted over all processes that map the same file.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

typedef struct {
    int64_t count;       /* calls so far */
    int64_t at;          /* the one that fails, from 1; 0 for none */
    int64_t action;      /* errno, or 0 for SIGKILL */
    char calls[104];     /* ",open,write,fsync,rename," */
    char folder[4096];   /* absolute, without a slash at its end */
} Plan;

static Plan *plan;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("STAR_FAULTS");
    int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
    int handle = path ? real(path, O_RDWR | O_CLOEXEC) : -1;
    if (handle < 0)
        return;
    void *found = mmap(NULL, sizeof(Plan), PROT_READ | PROT_WRITE, MAP_SHARED, handle, 0);
    if (found != MAP_FAILED)
        plan = found;
    close(handle);
}

static int fails(const char *call, const char *path) {
    if (!plan || !path || !plan->folder[0])
        return 0;
    size_t length = strlen(plan->folder);
    if (strncmp(path, plan->folder, length) != 0 || (path[length] != '/' && path[length] != 0))
        return 0;
    char word[32];
    snprintf(word, sizeof word, ",%s,", call);
    if (!strstr(plan->calls, word))
        return 0;
    if (__atomic_add_fetch(&plan->count, 1, __ATOMIC_SEQ_CST) != plan->at)
        return 0;
    if (!plan->action) {
        kill(getpid(), SIGKILL);
        pause();
    }
    errno = (int)plan->action;
    return 1;
}

static int fails_at(const char *call, int handle) {
    char link[64], path[PATH_MAX];
    int before = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    ssize_t length = plan && plan->at >= 0 ? readlink(link, path, sizeof path - 1) : -1;
    errno = before;
    if (length < 0)
        return 0;
    path[length] = 0;
    return fails(call, path);
}

#define REAL(type, name, ...) ((type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name))

#define OPEN(name)                                                        \
    int name(const char *path, int flags, ...) {                          \
        va_list more;                                                     \
        va_start(more, flags);                                            \
        mode_t mode = va_arg(more, mode_t);                               \
        va_end(more);                                                     \
        if (fails("open", path))                                          \
            return -1;                                                    \
        return REAL(int, name, const char *, int, ...)(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                        \
    int name(int folder, const char *path, int flags, ...) {                                \
        va_list more;                                                                       \
        va_start(more, flags);                                                              \
        mode_t mode = va_arg(more, mode_t);                                                 \
        va_end(more);                                                                       \
        if (fails("open", path))                                                            \
            return -1;                                                                      \
        return REAL(int, name, int, const char *, int, ...)(folder, path, flags, mode);     \
    }
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int handle, const void *content, size_t count) {
    return fails_at("write", handle) ? -1 : REAL(ssize_t, write, int, const void *, size_t)(handle, content, count);
}

ssize_t writev(int handle, const struct iovec *parts, int count) {
    return fails_at("write", handle) ? -1 : REAL(ssize_t, writev, int, const struct iovec *, int)(handle, parts, count);
}

#define PWRITE(name, offset)                                                                                       \
    ssize_t name(int handle, const void *content, size_t count, offset at) {                                      \
        return fails_at("write", handle) ? -1                                                                     \
                                         : REAL(ssize_t, name, int, const void *, size_t, offset)(handle, content, \
                                                                                                  count, at);     \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

int fsync(int handle) { return fails_at("fsync", handle) ? -1 : REAL(int, fsync, int)(handle); }

int fdatasync(int handle) { return fails_at("fsync", handle) ? -1 : REAL(int, fdatasync, int)(handle); }

int rename(const char *from, const char *to) {
    return fails("rename", from) ? -1 : REAL(int, rename, const char *, const char *)(from, to);
}

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    return fails("rename", from) ? -1 : REAL(int, renameat, int, const char *, int, const char *)(from_folder, from, to_folder, to);
}

int mkdir(const char *path, mode_t mode) {
    return fails("mkdir", path) ? -1 : REAL(int, mkdir, const char *, mode_t)(path, mode);
}

int unlink(const char *path) { return fails("unlink", path) ? -1 : REAL(int, unlink, const char *)(path); }
