/* Makes a power cut of a kill: LD_PRELOAD=powercut.so POWERCUT_DIR=folder program
 *
 * Before a database file (*.db, *.db-wal) is written to or cut, what stood there is appended to a journal of that file in the folder; once
 * the file has been synced, its journal is emptied. When the process was killed, powercut.py plays the journals backwards: then the files
 * hold what was synced and nothing else, which is the worst that a disk may make of a power cut.
 *
 * With POWERCUT_LIES set, a sync does nothing, as that of a disk that lies. The harness has to find that.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

/* One entry of a journal: where, how much stood there, how long the file was; then the bytes. */
struct entry {
    int64_t offset, length, size;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_ftruncate)(int, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);

__attribute__((constructor)) static void find(void) {
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
}

static int ends_with(const char *text, const char *end) {
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

/* The journal of the file behind a descriptor, opened; -1 where the file is none of ours. */
static int journal_of(int fd) {
    char link[64], path[PATH_MAX], journal[2 * PATH_MAX];
    const char *folder = getenv("POWERCUT_DIR"), *name;
    ssize_t length;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (!folder || (length = readlink(link, path, sizeof path - 1)) <= 0) return -1;
    path[length] = 0;
    if (!ends_with(path, ".db") && !ends_with(path, ".db-wal")) return -1;
    name = strrchr(path, '/');
    snprintf(journal, sizeof journal, "%s/%s.undo", folder, name ? name + 1 : path);
    return open(journal, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* Keeps what stands at a place that is about to change. */
static void keep(int fd, off_t offset, size_t length) {
    struct stat file;
    int journal = journal_of(fd);
    if (journal < 0) return;
    if (fstat(fd, &file) == 0) {
        int64_t there = file.st_size > offset ? file.st_size - offset : 0;
        if (there > (int64_t)length) there = length;
        char *record = malloc(sizeof(struct entry) + there);
        struct entry entry = {offset, there, file.st_size};
        if (!record) abort();
        memcpy(record, &entry, sizeof entry);
        /* Whoever is killed here has an entry that is not whole, of a write that did not happen. */
        if (pread(fd, record + sizeof entry, there, offset) != there) abort();
        if (write(journal, record, sizeof entry + there) != (ssize_t)(sizeof entry + there)) abort();
        free(record);
    }
    close(journal);
}

static void forget(int fd) {
    int journal = getenv("POWERCUT_LIES") ? -1 : journal_of(fd);
    if (journal < 0) return;
    if (real_ftruncate(journal, 0) != 0) abort();
    close(journal);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
    pthread_mutex_lock(&lock);
    keep(fd, offset, length);
    ssize_t written = real_pwrite(fd, bytes, length, offset);
    pthread_mutex_unlock(&lock);
    return written;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) { return pwrite64(fd, bytes, length, offset); }

int ftruncate64(int fd, off64_t size) {
    struct stat file;
    pthread_mutex_lock(&lock);
    if (fstat(fd, &file) == 0 && file.st_size > size) keep(fd, size, file.st_size - size);
    int done = real_ftruncate(fd, size);
    pthread_mutex_unlock(&lock);
    return done;
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

static int synced(int fd, int (*sync)(int)) {
    pthread_mutex_lock(&lock);
    int done = sync(fd);
    if (done == 0) forget(fd);
    pthread_mutex_unlock(&lock);
    return done;
}

int fsync(int fd) { return synced(fd, real_fsync); }

int fdatasync(int fd) { return synced(fd, real_fdatasync); }
