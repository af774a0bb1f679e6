/* Reports of stalls while they last. The recorder's thread writes each in one system call, without
   the GIL and without Python, so a report survives even if the process is killed right after it. */

#ifndef GILFREE_STALL_REPORT_H
#define GILFREE_STALL_REPORT_H

#include <poll.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "names.h"
#include "stacks.h"
#include "states.h"

enum {
    GILFREE_REPORT_BYTES = 16384,
    GILFREE_REPORT_ROOM = 512,  /* bytes that the line of one thread may need */
};

struct gilfree_text {
    size_t size;
    char bytes[GILFREE_REPORT_BYTES];
};

__attribute__((format(printf, 2, 3)))
static void gilfree_put(struct gilfree_text *text, const char *format, ...)
{
    size_t left = sizeof(text->bytes) - text->size;
    va_list arguments;
    int size;
    va_start(arguments, format);
    size = vsnprintf(text->bytes + text->size, left, format, arguments);
    va_end(arguments);
    if (size > 0)
        text->size += (size_t) size < left ? (size_t) size : left - 1;
}

/* Append a name. Control characters become "?", so that it stays on one line. */
static void gilfree_put_name(struct gilfree_text *text, const char *name)
{
    size_t i = text->size;
    gilfree_put(text, "%s", name == NULL ? "???" : name);
    for (; i < text->size; i++)
        if ((unsigned char) text->bytes[i] < ' ' || text->bytes[i] == 127)
            text->bytes[i] = '?';
}

static void gilfree_put_time(struct gilfree_text *text, int64_t ns)
{
    long long ms = ns / 1000000;
    if (ms < 1000)
        gilfree_put(text, "%lld ms", ms);
    else
        gilfree_put(text, "%lld.%02lld s", ms / 1000, ms % 1000 / 10);
}

/* Append the name that Python gave the thread; else the system's, unless that is the process's
   name. */
static void gilfree_put_thread(
    struct gilfree_text *text, const struct gilfree_recorder *r, const struct gilfree_thread *thread)
{
    char name[8 * GILFREE_NAME_WORDS], process[sizeof(thread->name)];
    if (gilfree_name_of(thread->task, thread->unseen, name)) {
        gilfree_put_name(text, name);
    } else {
        gilfree_task_name(thread->task, name, sizeof(thread->name));
        gilfree_task_name(r->memory.process, process, sizeof(process));
        gilfree_put_name(text, name[0] && strcmp(name, process) ? name : "thread");
    }
    gilfree_put(text, " (%d)", thread->task);
}

/* Append the stack, in the format of faulthandler. */
static void gilfree_put_stack(
    struct gilfree_text *text, struct gilfree_recorder *r, const struct gilfree_thread *thread)
{
    struct gilfree_frame frames[2 + GILFREE_CALLERS];
    int count, i, code, line;
    if (!gilfree_top_frame(&r->all.codes, thread->frame, frames)) {
        gilfree_put(text, "    at an unknown place\n");
        return;
    }
    count = gilfree_read_frames(&r->all.codes, frames, 2 + GILFREE_CALLERS);
    gilfree_forget_codes(&r->all.codes);
    for (i = 0; i < count && i <= GILFREE_CALLERS; i++) {
        const struct gilfree_code *known = NULL;
        gilfree_find_line(&r->all.codes, frames[i].code, frames[i].instruction, &code, &line);
        if (code != GILFREE_UNKNOWN)
            known = &r->all.codes.code[code];
        gilfree_put(text, "    File \"");
        gilfree_put_name(text, known ? known->file : NULL);
        if (line == GILFREE_UNKNOWN)
            gilfree_put(text, "\", line ??? in ");
        else
            gilfree_put(text, "\", line %d in ", line);
        gilfree_put_name(text, known ? known->function : NULL);
        gilfree_put(text, "\n");
    }
    if (i < count)
        gilfree_put(text, "    ...\n");
}

/* Return for how long the holder has held the GIL. */
static int64_t gilfree_held_for(const struct gilfree_gil *gil, int64_t time)
{
    return time - (gil->now.since > gil->switched ? gil->now.since : gil->switched);
}

/* Append the holder of the GIL, for how long it has held it, and where it is. */
static void gilfree_put_holder(
    struct gilfree_text *text, struct gilfree_recorder *r, const struct gilfree_gil *gil,
    const struct gilfree_thread *waiter, int64_t time)
{
    const struct gilfree_gil_sample *now = &gil->now;
    int i;
    if (now->thread == NULL) {
        gilfree_put(text, waiter->gil_enabled
                              ? "  held     by an unknown thread\n"
                              : "  the world is stopped by an unknown thread\n");
        return;
    }
    gilfree_put(text, waiter->gil_enabled ? "  held     " : "  attached ");
    gilfree_put_thread(text, r, now->thread);
    gilfree_put(text, " for ");
    gilfree_put_time(text, gilfree_held_for(gil, time));
    for (i = 0; i < waiter->stall.holders; i++) {
        const struct gilfree_holder *entry = &waiter->stall.holder[i];
        int in_c = gilfree_in_c(&r->all, entry);
        if (entry->thread == now->thread->number && in_c != GILFREE_UNKNOWN)
            gilfree_put(text, in_c ? ", in one C call" : ", in bytecode");
    }
    gilfree_put(text, ", most recent call first\n");
    gilfree_put_stack(text, r, now->thread);
}

/* Append all other threads, by their states. */
static void gilfree_put_others(
    struct gilfree_text *text, const struct gilfree_recorder *r, const struct gilfree_thread *holder,
    int64_t time)
{
    static const char *const word[][GILFREE_STATES] = {
        {"attached", "suspended", "running", "blocked", "unknown"},
        {"held", "waiting", "running", "blocked", "unknown"},
    };
    static const int order[] = {GILFREE_WAITING, GILFREE_RUNNING, GILFREE_BLOCKED, GILFREE_UNREAD,
                                GILFREE_HELD};
    int i, j, left = 0;
    for (i = 0; i < GILFREE_STATES; i++)
        for (j = 0; j < r->all.lives; j++) {
            const struct gilfree_thread *thread = r->all.live[j];
            if (thread->state != order[i] || thread == holder)
                continue;
            if (text->size + GILFREE_REPORT_ROOM > sizeof(text->bytes)) {
                left++;
                continue;
            }
            gilfree_put(text, "  %-8s ", word[thread->gil_enabled != 0][order[i]]);
            gilfree_put_thread(text, r, thread);
            gilfree_put(text, " for ");
            gilfree_put_time(text, time - thread->since);
            gilfree_put(text, "\n");
        }
    if (left)
        gilfree_put(text, "  and %d more threads\n", left);
}

/* Write the report as a whole, or count it as lost: the recorder never waits for a reader. */
static void gilfree_write_report(struct gilfree_recorder *r, const struct gilfree_text *text)
{
    struct pollfd output = {r->output, POLLOUT, 0};
    struct timespec no_wait = {0, 0};
    long written;
    r->lost++;
    if (!r->own_files && !gilfree_is_file(r->output, &r->output_was))
        return;
    if (syscall(SYS_ppoll, &output, 1, &no_wait, NULL, 0) != 1 || !(output.revents & POLLOUT))
        return;
    written = syscall(SYS_sendto, r->output, text->bytes, text->size, MSG_DONTWAIT | MSG_NOSIGNAL,
                      NULL, 0);
    if (written < 0 && errno == ENOTSOCK)
        written = syscall(SYS_write, r->output, text->bytes, text->size);
    if (written == (long) text->size)
        r->lost = 0;
}

/* Make writes to a full pipe or terminal fail instead of block. To set O_NONBLOCK on the given file
   would change it for the program, too, so the recorder opens it a second time. */
static void gilfree_open_output(struct gilfree_recorder *r)
{
    char path[64];
    struct stat kind;
    int again;
    if (fstat(r->output, &kind) || !(S_ISFIFO(kind.st_mode) || S_ISCHR(kind.st_mode)))
        return;
    snprintf(path, sizeof(path), "/proc/thread-self/fd/%d", r->output);
    again = (int) syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (again < 0)
        return;
    gilfree_close(r->output);
    r->output = again;
}

/* End the first line, with the number of reports that were lost since the last one. */
static void gilfree_put_lost(struct gilfree_text *text, const struct gilfree_recorder *r)
{
    if (r->lost)
        gilfree_put(text, "; earlier reports lost: %lld", (long long) r->lost);
    gilfree_put(text, "\n");
}

static void gilfree_report_one(
    struct gilfree_recorder *r, const struct gilfree_gil *gil, const struct gilfree_thread *waiter,
    int64_t time)
{
    struct gilfree_text text = {0};
    gilfree_put(&text, "gilfree[%d]: ", (int) r->memory.process);
    gilfree_put_thread(&text, r, waiter);
    gilfree_put(&text, waiter->gil_enabled ? " has waited for the GIL for "
                                           : " has been suspended for ");
    gilfree_put_time(&text, time - waiter->since);
    gilfree_put_lost(&text, r);
    gilfree_put_holder(&text, r, gil, waiter, time);
    gilfree_put_others(&text, r, gil->now.thread, time);
    gilfree_write_report(r, &text);
}

static void gilfree_report_end(struct gilfree_recorder *r, const struct gilfree_thread *waiter)
{
    struct gilfree_text text = {0};
    gilfree_put(&text, "gilfree[%d]: ", (int) r->memory.process);
    gilfree_put_thread(&text, r, waiter);
    gilfree_put(&text, waiter->gil_enabled ? " waits no longer, after "
                                           : " is no longer suspended, after ");
    gilfree_put_time(&text, waiter->since - waiter->reported);
    gilfree_put_lost(&text, r);
    gilfree_write_report(r, &text);
}

/* Return whether a wait longer than the limit needs a report. All that wait for one hold share one.
   Within a wait that was reported, each later hold that is itself longer than the limit needs one. */
static int gilfree_is_news(
    const struct gilfree_recorder *r, const struct gilfree_gil *gil,
    const struct gilfree_thread *waiter, int64_t time)
{
    if (gil->now.thread == NULL)
        return !waiter->reported;
    return gil->reported != gil->switched
           && (!waiter->reported || gilfree_held_for(gil, time) >= r->limit);
}

/* Report stalls longer than the limit, and when they are over. */
static void gilfree_report_stalls(struct gilfree_recorder *r, int64_t time)
{
    int i, j;
    for (i = 0; i < r->all.lives; i++) {
        struct gilfree_thread *thread = r->all.live[i];
        struct gilfree_gil *gil = gilfree_find_gil(r, thread->gil);
        if (thread->reported
            && (thread->state != GILFREE_WAITING || thread->since != thread->reported)) {
            if (thread->reported_first)
                gilfree_report_end(r, thread);
            thread->reported = thread->reported_first = 0;
        }
        if (thread->state != GILFREE_WAITING || thread->doubtful || gil == NULL
            || time - thread->since < r->limit)
            continue;
        if (!gilfree_is_news(r, gil, thread, time)) {
            thread->reported = thread->since;
            continue;
        }
        thread->reported_first = 1;
        gil->reported = gil->now.thread == NULL ? 0 : gil->switched;
        gilfree_report_one(r, gil, thread, time);
        for (j = 0; j < r->all.lives; j++)
            if (r->all.live[j]->state == GILFREE_WAITING && r->all.live[j]->gil == thread->gil)
                r->all.live[j]->reported = r->all.live[j]->since;
    }
}

#endif
