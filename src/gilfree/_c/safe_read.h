/* Memory of this process, read by system calls: if it has been freed, that is an error, not a
   crash.

   The recorder needs this, since other threads may free a structure while it is copied. */

#ifndef GILFREE_SAFE_READ_H
#define GILFREE_SAFE_READ_H

#ifndef _GNU_SOURCE
    #define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/* The recorder's thread has its own table of files (tasks.h). Sanitizers wrap the C library's calls
   and assume one table for the process, so these make the system calls directly. */
static int gilfree_open(const char *path)
{
    return (int) syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
}

static void gilfree_close(int file) { syscall(SYS_close, file); }

/* Tell whether a number still stands for the file that it stood for. */
static int gilfree_is_file(int number, const struct stat *before)
{
    struct stat now;
    return number >= 0 && !fstat(number, &now) && now.st_dev == before->st_dev
           && now.st_ino == before->st_ino;
}

static ssize_t gilfree_pread(int file, void *to, size_t size, int64_t from)
{
    return (ssize_t) syscall(SYS_pread64, file, to, size, from);
}

struct gilfree_memory {
    pid_t process;
    int file;  /* /proc/self/mem where process_vm_readv is forbidden; else -1 */
};

/* Copy `size` bytes; return whether all of them could be read. */
static int gilfree_read(const struct gilfree_memory *memory, uintptr_t from, void *to, size_t size)
{
    struct iovec local = {to, size}, remote = {(void *) from, size};
    if (from < 4096)
        return 0;
    if (memory->file >= 0)
        return gilfree_pread(memory->file, to, size, (int64_t) from) == (ssize_t) size;
    return process_vm_readv(memory->process, &local, 1, &remote, 1, 0) == (ssize_t) size;
}

/* Copy `count` pieces, from[i] to to[i], in as few system calls as possible; return whether all
   could be read. The pieces of one call are read at almost the same moment. */
static int gilfree_read_pieces(
    const struct gilfree_memory *memory, const struct iovec *to, const struct iovec *from, int count)
{
    enum { MOST_PIECES = 512 };  /* of one call; the system allows 1,024 */
    int done, i, some;
    for (done = 0; done < count; done += some) {
        ssize_t size = 0;
        some = count - done < MOST_PIECES ? count - done : MOST_PIECES;
        for (i = done; i < done + some; i++) {
            size += (ssize_t) to[i].iov_len;
            if (memory->file >= 0
                && !gilfree_read(memory, (uintptr_t) from[i].iov_base, to[i].iov_base, to[i].iov_len))
                return 0;
        }
        if (memory->file < 0
            && process_vm_readv(memory->process, to + done, (unsigned long) some, from + done,
                                (unsigned long) some, 0) != size)
            return 0;
    }
    return 1;
}

#endif
