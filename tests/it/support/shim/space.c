/* A small disk for the process that this is loaded into (LD_PRELOAD): the files below one directory share a number of bytes, and what
 * goes beyond them fails as on a disk that is full, or with a quota that is used up. Any user can have it, without mounting anything.
 *
 * SPACE_DIRECTORY  the directory, without links in its name
 * SPACE_CONTROL    a file: "BYTES full", "BYTES quota" or "BYTES flush", looked at before each write, so that a test can change it
 *
 * Whole blocks are counted, by the lengths of the files. With "quota" the figures of the file system stay those of the real one. With
 * "flush" there is room for what is written, as far as anybody is told, and none when it is flushed. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#define BLOCK_BYTES 4096LL
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* Between the question whether there is room and the write. */
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

static long long blocks(long long bytes) { return (bytes + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES; }

static long long used(const char *directory) {
    long long total = 0;
    DIR *entries = opendir(directory);
    struct dirent *entry;
    if (!entries) return 0;
    while ((entry = readdir(entries))) {
        char path[8192];
        struct stat found;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        if (lstat(path, &found)) continue;
        total += S_ISDIR(found.st_mode) ? used(path) : blocks(found.st_size);
    }
    closedir(entries);
    return total;
}

/* How much there is altogether; what is said beyond it, and how. */
static long long budget_and_how(int *refusal, char how[16]) {
    const char *control = getenv("SPACE_CONTROL");
    long long bytes = -1;
    FILE *file = control ? fopen(control, "re") : NULL;
    strcpy(how, "full");
    if (file) {
        if (fscanf(file, "%lld %15s", &bytes, how) < 1) bytes = -1;
        fclose(file);
    }
    *refusal = strcmp(how, "quota") ? ENOSPC : EDQUOT;
    return bytes;
}

static long long budget(int *refusal) {
    char how[16];
    return budget_and_how(refusal, how);
}

static int is_inside(const char *path) {
    const char *directory = getenv("SPACE_DIRECTORY");
    size_t length = directory ? strlen(directory) : 0;
    return length && !strncmp(path, directory, length) && (path[length] == '/' || !path[length]);
}

static int is_limited(int fd) {
    char name[64], path[4096];
    struct stat found;
    ssize_t length;
    if (fstat(fd, &found) || !S_ISREG(found.st_mode) || found.st_nlink == 0) return 0;
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    length = readlink(name, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_inside(path);
}

/* How many of so many bytes at an offset there is room for; -1 with errno when there is none. */
static long long room(int fd, long long offset, long long bytes) {
    struct stat found;
    int refusal;
    long long total = budget(&refusal), has, left;
    if (total < 0 || fstat(fd, &found)) return bytes;
    has = blocks(found.st_size);
    if (blocks(offset + bytes) <= has) return bytes;
    left = total - used(getenv("SPACE_DIRECTORY"));
    left = has + (left > 0 ? left / BLOCK_BYTES * BLOCK_BYTES : 0) - offset;
    if (left >= bytes) return bytes;
    if (left > 0) return left;
    errno = refusal;
    return -1;
}

static long long end_of(int fd) {
    struct stat found;
    if (fcntl(fd, F_GETFL) & O_APPEND) return fstat(fd, &found) ? 0 : found.st_size;
    return lseek(fd, 0, SEEK_CUR);
}

ssize_t write(int fd, const void *data, size_t bytes) {
    ssize_t done;
    long long allowed;
    if (!is_limited(fd)) return REAL(write)(fd, data, bytes);
    pthread_mutex_lock(&turn);
    allowed = room(fd, end_of(fd), (long long)bytes);
    done = allowed < 0 ? -1 : REAL(write)(fd, data, (size_t)allowed);
    pthread_mutex_unlock(&turn);
    return done;
}

ssize_t writev(int fd, const struct iovec *pieces, int count) {
    size_t bytes = 0;
    ssize_t done = -1;
    long long allowed;
    int at;
    if (!is_limited(fd)) return REAL(writev)(fd, pieces, count);
    for (at = 0; at < count; at++) bytes += pieces[at].iov_len;
    pthread_mutex_lock(&turn);
    allowed = room(fd, end_of(fd), (long long)bytes);
    if (allowed == (long long)bytes) done = REAL(writev)(fd, pieces, count);
    else if (allowed >= 0) {
        /* The first piece that is not empty, as far as there is room. */
        for (at = 0; at < count - 1 && !pieces[at].iov_len; at++) {}
        if ((long long)pieces[at].iov_len < allowed) allowed = (long long)pieces[at].iov_len;
        done = REAL(write)(fd, pieces[at].iov_base, (size_t)allowed);
    }
    pthread_mutex_unlock(&turn);
    return done;
}

ssize_t pwrite64(int fd, const void *data, size_t bytes, off64_t offset) {
    ssize_t done;
    long long allowed;
    if (!is_limited(fd)) return REAL(pwrite64)(fd, data, bytes, offset);
    pthread_mutex_lock(&turn);
    allowed = room(fd, offset, (long long)bytes);
    done = allowed < 0 ? -1 : REAL(pwrite64)(fd, data, (size_t)allowed, offset);
    pthread_mutex_unlock(&turn);
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset) { return pwrite64(fd, data, bytes, offset); }

/* Nothing or all of it. */
static int grown(int fd, long long bytes, int (*grow)(int, long long)) {
    int failed;
    pthread_mutex_lock(&turn);
    if (room(fd, 0, bytes) == bytes) failed = grow(fd, bytes);
    else {
        int refusal;
        budget(&refusal);
        failed = refusal;
    }
    pthread_mutex_unlock(&turn);
    return failed;
}

static int truncated(int fd, long long bytes) { return REAL(ftruncate64)(fd, bytes) ? errno : 0; }

int ftruncate64(int fd, off64_t bytes) {
    int failed;
    if (!is_limited(fd)) return REAL(ftruncate64)(fd, bytes);
    failed = grown(fd, bytes, truncated);
    if (!failed) return 0;
    errno = failed;
    return -1;
}

int ftruncate(int fd, off_t bytes) { return ftruncate64(fd, bytes); }

static int allocated(int fd, long long bytes) { return REAL(posix_fallocate64)(fd, 0, bytes); }

int posix_fallocate64(int fd, off64_t offset, off64_t bytes) {
    if (!is_limited(fd)) return REAL(posix_fallocate64)(fd, offset, bytes);
    return grown(fd, offset + bytes, allocated);
}

int posix_fallocate(int fd, off_t offset, off_t bytes) { return posix_fallocate64(fd, offset, bytes); }

static int flush_fails(int fd) {
    char how[16];
    int refusal;
    if (!is_limited(fd)) return 0;
    budget_and_how(&refusal, how);
    if (strcmp(how, "flush")) return 0;
    errno = refusal;
    return 1;
}

int fsync(int fd) { return flush_fails(fd) ? -1 : REAL(fsync)(fd); }

int fdatasync(int fd) { return flush_fails(fd) ? -1 : REAL(fdatasync)(fd); }

static void shrink(const char *path, unsigned long *block, unsigned long *fragment, fsblkcnt_t *total, fsblkcnt_t *left,
                   fsblkcnt_t *available) {
    int refusal;
    long long bytes, rest;
    if (!is_inside(path)) return;
    bytes = budget(&refusal);
    if (bytes < 0 || refusal == EDQUOT) return;
    rest = bytes - used(getenv("SPACE_DIRECTORY"));
    *block = *fragment = BLOCK_BYTES;
    *total = (fsblkcnt_t)(bytes / BLOCK_BYTES);
    *left = *available = (fsblkcnt_t)(rest > 0 ? rest / BLOCK_BYTES : 0);
}

int statvfs(const char *path, struct statvfs *out) {
    int failed = REAL(statvfs)(path, out);
    if (!failed) shrink(path, &out->f_bsize, &out->f_frsize, &out->f_blocks, &out->f_bfree, &out->f_bavail);
    return failed;
}

int statvfs64(const char *path, struct statvfs64 *out) {
    int failed = REAL(statvfs64)(path, out);
    if (!failed) shrink(path, &out->f_bsize, &out->f_frsize, &out->f_blocks, &out->f_bfree, &out->f_bavail);
    return failed;
}
