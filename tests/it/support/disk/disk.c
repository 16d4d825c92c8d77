/*
 * A disk that can fail, and that forgets at a power cut what was not flushed. `disk.rs` compiles this and loads it into the
 * server with LD_PRELOAD.
 *
 * Below DISK_ROOT the files are as programs see them: that is the page cache. Below DISK_SHADOW is what the disk would still
 * have after a power cut, kept up to date by the flushes:
 *
 *   pages/INODE          what is durable of a file
 *   dirty/INODE          a byte for each of its pages: 1 when it was written since the last flush
 *   live/INODE           a link to the file itself, so that its number is not given to another one
 *   directories/INODE/   the names that are durable in a directory: of a file a link to pages/, of a directory a symbolic
 *                        link whose target is its number
 *   rules                what fails, and when; read again when it was replaced
 *   events               a line for each time that a rule was applied
 *
 * A flush of a file makes its dirty pages and its length durable. A flush of a directory makes the names in it durable. A
 * flush of a file that fails does what Linux does: the pages count as clean from then on, although the disk never got them.
 * No later flush writes them, unless a program writes to them again.
 *
 * A rule is a line: ACTION OPERATION PATTERN SKIP COUNT, in which OPERATION is open, write or flush, and PATTERN is matched
 * against the path below DISK_ROOT. The first SKIP operations that match are carried out, the COUNT after them meet the
 * ACTION: a number is an errno to fail with, or 0 for a flush that does nothing and says that all is well; `before`, `half` and
 * `after` kill the process before, half-way through or after the operation. SQLite's shared memory (`-shm`) does not outlive a process, so it is left alone.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE_BYTES 4096
#define SECTOR_BYTES 512
#define FILES_MAX 65536
#define RULES_MAX 16
#define PATH_BYTES 4352

enum action { PASS, FAIL, KILL_BEFORE, KILL_HALF, KILL_AFTER };

struct rule {
    enum action action;
    int error;
    char operation[8];
    char pattern[128];
    long skip, count, seen;
};

static char root[PATH_MAX], shadow[PATH_MAX];
static size_t root_length;
static int is_on, lock_file = -1;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static ino_t known[FILES_MAX];
static struct rule rules[RULES_MAX];
static int rule_count;
static struct stat rules_read;
static unsigned seed;

static int (*real_open)(const char *, int, ...);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_ftruncate)(int, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static void *(*real_mmap)(void *, size_t, int, int, int, off_t);

static void give_up(const char *what, const char *path) {
    dprintf(2, "disk.c: %s: %s: %s\n", what, path, strerror(errno));
    abort();
}

__attribute__((constructor)) static void start(void) {
    real_open = dlsym(RTLD_NEXT, "open64");
    real_write = dlsym(RTLD_NEXT, "write");
    real_writev = dlsym(RTLD_NEXT, "writev");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_mmap = dlsym(RTLD_NEXT, "mmap64");
    const char *root_name = getenv("DISK_ROOT"), *shadow_name = getenv("DISK_SHADOW");
    if (!root_name || !shadow_name)
        return;
    snprintf(root, sizeof root, "%s", root_name);
    snprintf(shadow, sizeof shadow, "%s", shadow_name);
    root_length = strlen(root);
    seed = (unsigned)getpid();
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/lock", shadow);
    lock_file = real_open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock_file < 0)
        give_up("cannot open", path);
    is_on = 1;
}

/* One operation at a time, also of several processes; a process that is killed leaves no lock behind. */
static void enter(void) {
    pthread_mutex_lock(&mutex);
    while (flock(lock_file, LOCK_EX) != 0) {
        if (errno != EINTR)
            give_up("cannot lock", shadow);
    }
}

static void leave(void) {
    int saved = errno;
    flock(lock_file, LOCK_UN);
    pthread_mutex_unlock(&mutex);
    errno = saved;
}

/* The path below the root; NULL when it is elsewhere. */
static const char *below(const char *path) {
    if (strncmp(path, root, root_length) != 0)
        return NULL;
    if (path[root_length] == 0)
        return path + root_length;
    return path[root_length] == '/' ? path + root_length + 1 : NULL;
}

static const char *absolute(const char *path, char *space) {
    if (path[0] == '/')
        return path;
    char directory[PATH_MAX];
    if (!getcwd(directory, sizeof directory))
        give_up("cannot tell the directory of", path);
    snprintf(space, PATH_BYTES, "%s/%s", directory, path);
    return space;
}

static const char *of_descriptor(int fd, char *space) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, space, PATH_BYTES - 1);
    if (length < 0)
        give_up("cannot tell the path of", link);
    space[length] = 0;
    return space;
}

static int ends_with(const char *text, const char *end) {
    size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

static void in_shadow(char *path, const char *kind, ino_t inode) {
    snprintf(path, PATH_BYTES, "%s/%s/%lu", shadow, kind, (unsigned long)inode);
}

static int open_shadow(const char *kind, ino_t inode, int flags) {
    char path[PATH_BYTES];
    in_shadow(path, kind, inode);
    int fd = real_open(path, flags | O_CLOEXEC, 0600);
    if (fd < 0)
        give_up("cannot open", path);
    return fd;
}

static ino_t *slot(ino_t inode) {
    size_t at = (inode * 2654435761u) % FILES_MAX;
    for (size_t n = 0; n < FILES_MAX; n++, at = (at + 1) % FILES_MAX) {
        if (known[at] == inode || known[at] == 0)
            return &known[at];
    }
    errno = ENOSPC;
    give_up("too many files below", root);
    return NULL;
}

/* Whether a descriptor is that of a file on this disk. */
static int is_ours(int fd, struct stat *found) {
    if (!is_on || fstat(fd, found) != 0 || !S_ISREG(found->st_mode))
        return 0;
    int saved = errno;
    pthread_mutex_lock(&mutex);
    int ours = *slot(found->st_ino) == found->st_ino;
    pthread_mutex_unlock(&mutex);
    errno = saved;
    return ours;
}

static void read_rules(void) {
    char path[PATH_BYTES];
    struct stat found;
    snprintf(path, sizeof path, "%s/rules", shadow);
    if (stat(path, &found) != 0)
        return;
    if (found.st_ino == rules_read.st_ino && found.st_mtim.tv_sec == rules_read.st_mtim.tv_sec &&
        found.st_mtim.tv_nsec == rules_read.st_mtim.tv_nsec)
        return;
    rules_read = found;
    rule_count = 0;
    char text[4096] = "";
    int fd = real_open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, text, sizeof text - 1) < 0)
        give_up("cannot read", path);
    close(fd);
    for (char *line = strtok(text, "\n"); line && rule_count < RULES_MAX; line = strtok(NULL, "\n")) {
        struct rule *rule = &rules[rule_count++];
        char action[16];
        memset(rule, 0, sizeof *rule);
        if (sscanf(line, "%15s %7s %127s %ld %ld", action, rule->operation, rule->pattern, &rule->skip, &rule->count) != 5) {
            errno = EINVAL;
            give_up("not a rule", line);
        }
        if (strcmp(action, "before") == 0)
            rule->action = KILL_BEFORE;
        else if (strcmp(action, "half") == 0)
            rule->action = KILL_HALF;
        else if (strcmp(action, "after") == 0)
            rule->action = KILL_AFTER;
        else {
            rule->action = FAIL;
            rule->error = atoi(action);
        }
    }
}

static void note(const struct rule *rule, const char *path) {
    char name[PATH_BYTES], line[PATH_BYTES];
    snprintf(name, sizeof name, "%s/events", shadow);
    int fd = real_open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int length = snprintf(line, sizeof line, "%s %s\n", rule->operation, path);
    if (fd < 0 || real_write(fd, line, (size_t)length) != length)
        give_up("cannot write", name);
    close(fd);
}

/* What is to happen to an operation. Counts it. */
static struct rule *met(const char *operation, const char *path) {
    read_rules();
    struct rule *found = NULL;
    for (int n = 0; n < rule_count; n++) {
        struct rule *rule = &rules[n];
        if (strcmp(rule->operation, operation) != 0 || fnmatch(rule->pattern, path, 0) != 0)
            continue;
        long number = rule->seen++;
        if (!found && number >= rule->skip && number < rule->skip + rule->count)
            found = rule;
    }
    if (found)
        note(found, path);
    return found;
}

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

static void mark(ino_t inode, off_t from, off_t bytes) {
    if (bytes <= 0)
        return;
    static const char ones[256] = {[0 ... 255] = 1};
    off_t page = from / PAGE_BYTES, end = (from + bytes - 1) / PAGE_BYTES + 1;
    int fd = open_shadow("dirty", inode, O_WRONLY | O_CREAT);
    while (page < end) {
        size_t count = end - page > 256 ? 256 : (size_t)(end - page);
        if (real_pwrite(fd, ones, count, page) != (ssize_t)count)
            give_up("cannot mark pages below", shadow);
        page += (off_t)count;
    }
    close(fd);
}

/* Takes note of a file that was opened. A new one has nothing on the disk yet, not even its name. A process may have been killed
 * when it had made one, so the link, by which the others know it, comes last. */
static void know(const char *path, const struct stat *file) {
    ino_t inode = file->st_ino, *place = slot(inode);
    if (*place == inode)
        return;
    char live[PATH_BYTES];
    in_shadow(live, "live", inode);
    if (access(live, F_OK) != 0) {
        close(open_shadow("pages", inode, O_WRONLY | O_CREAT | O_TRUNC));
        mark(inode, 0, file->st_size);
        if (link(path, live) != 0)
            give_up("cannot link", path);
    }
    *place = inode;
}

static void write_pages(ino_t inode, int by_half) {
    int live = open_shadow("live", inode, O_RDONLY), pages = open_shadow("pages", inode, O_RDWR);
    int dirty = open_shadow("dirty", inode, O_RDWR | O_CREAT);
    struct stat now, marks;
    if (fstat(live, &now) != 0 || fstat(dirty, &marks) != 0)
        give_up("cannot look at files below", shadow);
    /* A file that became shorter and longer again has zeros in between, not what was there. */
    off_t whole = (now.st_size + PAGE_BYTES - 1) / PAGE_BYTES;
    char flags[256], page[PAGE_BYTES];
    for (off_t at = 0; at < marks.st_size; at += (off_t)sizeof flags) {
        ssize_t count = pread(dirty, flags, sizeof flags, at);
        for (ssize_t n = 0; n < count; n++) {
            off_t number = at + n;
            if (!flags[n] || number >= whole)
                continue;
            ssize_t length = pread(live, page, sizeof page, number * PAGE_BYTES);
            for (off_t sector = 0; sector < length; sector += SECTOR_BYTES) {
                size_t part = length - sector < SECTOR_BYTES ? (size_t)(length - sector) : SECTOR_BYTES;
                if (by_half && rand_r(&seed) % 2)
                    continue;
                if (real_pwrite(pages, page + sector, part, number * PAGE_BYTES + sector) != (ssize_t)part)
                    give_up("cannot write below", shadow);
            }
        }
    }
    if (!by_half && (real_ftruncate(pages, now.st_size) != 0 || real_ftruncate(dirty, 0) != 0))
        give_up("cannot cut files below", shadow);
    close(live);
    close(pages);
    close(dirty);
}

static void forget_marks(ino_t inode) {
    int dirty = open_shadow("dirty", inode, O_RDWR | O_CREAT);
    if (real_ftruncate(dirty, 0) != 0)
        give_up("cannot cut files below", shadow);
    close(dirty);
}

/* A name that is durable already, and what it leads to. */
static void put_name(const char *names, const char *name, const struct stat *file) {
    char path[PATH_BYTES * 2], fresh[PATH_BYTES], target[PATH_BYTES];
    struct stat held;
    snprintf(path, sizeof path, "%s/%s", names, name);
    snprintf(fresh, sizeof fresh, "%s/fresh", shadow);
    if (S_ISDIR(file->st_mode)) {
        if (lstat(path, &held) == 0)
            return;
        snprintf(target, sizeof target, "%lu", (unsigned long)file->st_ino);
        if (symlink(target, path) != 0)
            give_up("cannot make", path);
        return;
    }
    in_shadow(target, "pages", file->st_ino);
    struct stat pages;
    if (stat(target, &pages) != 0)
        return; /* Not made through this disk, such as a socket. */
    if (lstat(path, &held) == 0 && held.st_ino == pages.st_ino)
        return;
    unlink(fresh);
    if (link(target, fresh) != 0 || rename(fresh, path) != 0)
        give_up("cannot name", path);
}

static void write_names(const char *path, ino_t inode) {
    char names[PATH_BYTES], child[PATH_BYTES * 2];
    in_shadow(names, "directories", inode);
    mkdir(names, 0700);
    DIR *directory = opendir(path);
    if (!directory)
        give_up("cannot list", path);
    for (struct dirent *entry; (entry = readdir(directory));) {
        struct stat file;
        snprintf(child, sizeof child, "%s/%s", path, entry->d_name);
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 || ends_with(entry->d_name, "-shm") ||
            lstat(child, &file) != 0 || !(S_ISREG(file.st_mode) || S_ISDIR(file.st_mode)))
            continue;
        put_name(names, entry->d_name, &file);
    }
    closedir(directory);
    directory = opendir(names);
    if (!directory)
        give_up("cannot list", names);
    for (struct dirent *entry; (entry = readdir(directory));) {
        struct stat file;
        snprintf(child, sizeof child, "%s/%s", path, entry->d_name);
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 || lstat(child, &file) == 0)
            continue;
        snprintf(child, sizeof child, "%s/%s", names, entry->d_name);
        unlink(child);
    }
    closedir(directory);
}

static int flush(int fd, int (*real)(int)) {
    struct stat file;
    char path[PATH_BYTES];
    if (!is_on || fstat(fd, &file) != 0)
        return real(fd);
    int is_directory = S_ISDIR(file.st_mode);
    const char *name = is_directory ? below(of_descriptor(fd, path)) : NULL;
    if (is_directory ? !name : !is_ours(fd, &file))
        return real(fd);
    enter();
    if (!name)
        name = below(of_descriptor(fd, path));
    struct rule *rule = met("flush", name ? name : "");
    enum action action = rule ? rule->action : PASS;
    if (action == KILL_BEFORE)
        die();
    if (action == FAIL) {
        if (!is_directory)
            forget_marks(file.st_ino);
        errno = rule->error;
        leave();
        return rule->error ? -1 : 0;
    }
    if (is_directory)
        write_names(path, file.st_ino);
    else
        write_pages(file.st_ino, action == KILL_HALF);
    if (action != PASS)
        die();
    leave();
    return 0;
}

int fsync(int fd) { return flush(fd, real_fsync); }
int fdatasync(int fd) { return flush(fd, real_fdatasync); }

/* The errno that a rule has for an operation that is not a flush, or 0. Called between enter and leave. */
static int trouble(const char *operation, const char *path) {
    struct rule *rule = met(operation, path ? path : "");
    if (!rule)
        return 0;
    if (rule->action != FAIL)
        die();
    return rule->error;
}

static int open_any(const char *path, int flags, mode_t mode) {
    char space[PATH_BYTES];
    const char *whole = is_on ? absolute(path, space) : NULL;
    const char *name = whole ? below(whole) : NULL;
    if (!name)
        return real_open(path, flags, mode);
    enter();
    int error = trouble("open", name);
    if (error) {
        leave();
        errno = error;
        return -1;
    }
    struct stat before, after;
    int existed = stat(whole, &before) == 0;
    int fd = real_open(path, flags, mode);
    if (fd >= 0 && !ends_with(name, "-shm") && fstat(fd, &after) == 0 && S_ISREG(after.st_mode)) {
        know(whole, &after);
        if (existed && (flags & O_TRUNC))
            mark(after.st_ino, 0, before.st_size);
    }
    leave();
    return fd;
}

#define MODE(flags)                                                                                                        \
    mode_t mode = 0;                                                                                                       \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                                                                 \
        va_list rest;                                                                                                      \
        va_start(rest, flags);                                                                                             \
        mode = va_arg(rest, mode_t);                                                                                       \
        va_end(rest);                                                                                                      \
    }

int open(const char *path, int flags, ...) {
    MODE(flags)
    return open_any(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    MODE(flags)
    return open_any(path, flags | O_LARGEFILE, mode);
}

/* Called between enter and leave: where the next bytes go that are written without a place. */
static off_t place(int fd, const struct stat *file) {
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && (flags & O_APPEND) ? file->st_size : lseek(fd, 0, SEEK_CUR);
}

/* Marks what is about to be written; says whether it may be. */
static int may_write(int fd, const struct stat *file, off_t from, size_t bytes) {
    char path[PATH_BYTES];
    int error = trouble("write", below(of_descriptor(fd, path)));
    if (error) {
        errno = error;
        return 0;
    }
    mark(file->st_ino, from, (off_t)bytes);
    return 1;
}

ssize_t write(int fd, const void *bytes, size_t count) {
    struct stat file;
    if (!is_ours(fd, &file))
        return real_write(fd, bytes, count);
    enter();
    ssize_t written = may_write(fd, &file, place(fd, &file), count) ? real_write(fd, bytes, count) : -1;
    leave();
    return written;
}

ssize_t writev(int fd, const struct iovec *pieces, int piece_count) {
    struct stat file;
    if (!is_ours(fd, &file))
        return real_writev(fd, pieces, piece_count);
    enter();
    size_t count = 0;
    for (int n = 0; n < piece_count; n++)
        count += pieces[n].iov_len;
    ssize_t written = may_write(fd, &file, place(fd, &file), count) ? real_writev(fd, pieces, piece_count) : -1;
    leave();
    return written;
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t from) {
    struct stat file;
    if (!is_ours(fd, &file))
        return real_pwrite(fd, bytes, count, from);
    enter();
    ssize_t written = may_write(fd, &file, from, count) ? real_pwrite(fd, bytes, count, from) : -1;
    leave();
    return written;
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t from) { return pwrite64(fd, bytes, count, from); }

int ftruncate64(int fd, off64_t length) {
    struct stat file;
    if (!is_ours(fd, &file))
        return real_ftruncate(fd, length);
    enter();
    fstat(fd, &file);
    int result = real_ftruncate(fd, length);
    if (result == 0 && length < file.st_size)
        mark(file.st_ino, length, file.st_size - length);
    leave();
    return result;
}

int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

/* Pages that change without a call are not seen: a program that does this needs another disk. */
void *mmap64(void *address, size_t length, int protection, int flags, int fd, off64_t offset) {
    struct stat file;
    if (fd >= 0 && (flags & MAP_SHARED) && (protection & PROT_WRITE) && is_ours(fd, &file)) {
        char path[PATH_BYTES];
        errno = ENOTSUP;
        give_up("written through memory", of_descriptor(fd, path));
    }
    return real_mmap(address, length, protection, flags, fd, offset);
}

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
    return mmap64(address, length, protection, flags, fd, offset);
}

static int unknown_way(int fd, const char *what) {
    struct stat file;
    if (is_ours(fd, &file)) {
        errno = ENOTSUP;
        give_up("written in a way that is not modelled", what);
    }
    return 0;
}

int posix_fallocate64(int fd, off64_t offset, off64_t length) {
    unknown_way(fd, "posix_fallocate");
    int (*real)(int, off64_t, off64_t) = dlsym(RTLD_NEXT, "posix_fallocate64");
    return real(fd, offset, length);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t length) {
    unknown_way(fd, "fallocate");
    int (*real)(int, int, off64_t, off64_t) = dlsym(RTLD_NEXT, "fallocate64");
    return real(fd, mode, offset, length);
}

ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t length, unsigned flags) {
    unknown_way(out, "copy_file_range");
    ssize_t (*real)(int, off64_t *, int, off64_t *, size_t, unsigned) = dlsym(RTLD_NEXT, "copy_file_range");
    return real(in, in_at, out, out_at, length, flags);
}

ssize_t sendfile64(int out, int in, off64_t *offset, size_t count) {
    unknown_way(out, "sendfile");
    ssize_t (*real)(int, int, off64_t *, size_t) = dlsym(RTLD_NEXT, "sendfile64");
    return real(out, in, offset, count);
}
