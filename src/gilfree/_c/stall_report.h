/* Stalls reported while they last: written by the recorder's thread itself, in one call, without the
   GIL and without Python. So a report is there even if the process is killed a moment later. */

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
    GILFREE_REPORT_ROOM = 512,  /* that one thread may need, without its stack */
};

struct gilfree_text {
    size_t size;
    char bytes[GILFREE_REPORT_BYTES];
};

__attribute__((format(printf, 2, 3)))
static void gilfree_put(struct gilfree_text *text, const char *format, ...)
{
    size_t room = sizeof(text->bytes) - text->size;
    va_list arguments;
    int size;
    va_start(arguments, format);
    size = vsnprintf(text->bytes + text->size, room, format, arguments);
    va_end(arguments);
    if (size > 0)
        text->size += (size_t) size < room ? (size_t) size : room - 1;
}

/* A name of whoever's choice: on one line, whatever it is. */
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

/* What Python calls a thread, else what the system does, if that is not only the name of the process. */
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

/* The stack, as faulthandler has it. */
static void gilfree_put_stack(
    struct gilfree_text *text, struct gilfree_recorder *r, const struct gilfree_thread *thread)
{
    struct gilfree_frame frames[2 + GILFREE_CALLERS];
    int count, i, code, line;
    if (!gilfree_top_frame(&r->all.codes, thread->frame, frames)) {
        gilfree_put(text, "    where is not known\n");
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

/* Who has the GIL, for how long, and where. */
static void gilfree_put_holder(
    struct gilfree_text *text, struct gilfree_recorder *r, const struct gilfree_gil *gil,
    const struct gilfree_thread *waiter, int64_t time)
{
    const struct gilfree_look *now = &gil->now;
    int i;
    if (now->thread == NULL) {
        gilfree_put(text, waiter->has_gil ? "  held     by nobody, as far as is known\n"
                                          : "  not known who stops the world\n");
        return;
    }
    gilfree_put(text, waiter->has_gil ? "  held     " : "  attached ");
    gilfree_put_thread(text, r, now->thread);
    gilfree_put(text, " for ");
    gilfree_put_time(text, time - (now->since > gil->switched ? now->since : gil->switched));
    for (i = 0; i < waiter->stall.holders; i++) {
        const struct gilfree_holder *entry = &waiter->stall.holder[i];
        int in_c = gilfree_in_c(&r->all, entry);
        if (entry->thread == now->thread->number && in_c != GILFREE_UNKNOWN)
            gilfree_put(text, in_c ? ", in one C call" : ", in bytecode");
    }
    gilfree_put(text, ", most recent call first\n");
    gilfree_put_stack(text, r, now->thread);
}

/* All other threads, by their states. */
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
            gilfree_put(text, "  %-8s ", word[thread->has_gil != 0][order[i]]);
            gilfree_put_thread(text, r, thread);
            gilfree_put(text, " for ");
            gilfree_put_time(text, time - thread->since);
            gilfree_put(text, "\n");
        }
    if (left)
        gilfree_put(text, "  and %d more threads\n", left);
}

/* Write it as a whole, or count it as lost: whoever reads at the other end, the recorder goes on. */
static void gilfree_write_report(struct gilfree_recorder *r, const struct gilfree_text *text)
{
    struct pollfd output = {r->output, POLLOUT, 0};
    struct timespec at_once = {0, 0};
    long written;
    r->lost++;
    if (syscall(SYS_ppoll, &output, 1, &at_once, NULL, 0) != 1 || !(output.revents & POLLOUT))
        return;
    written = syscall(SYS_sendto, r->output, text->bytes, text->size, MSG_DONTWAIT | MSG_NOSIGNAL,
                      NULL, 0);
    if (written < 0 && errno == ENOTSOCK)
        written = syscall(SYS_write, r->output, text->bytes, text->size);
    if (written == (long) text->size)
        r->lost = 0;
}

/* Have a pipe or a terminal that is full refuse what is written to it, instead of making us wait: by
   opening it once more, for a change of the file itself would be the program's, too. */
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

/* End the first line, with what could not be written before. */
static void gilfree_put_lost(struct gilfree_text *text, const struct gilfree_recorder *r)
{
    if (r->lost)
        gilfree_put(text, "; so many earlier ones were lost: %lld", (long long) r->lost);
    gilfree_put(text, "\n");
}

static void gilfree_report_one(
    struct gilfree_recorder *r, const struct gilfree_gil *gil, const struct gilfree_thread *waiter,
    int64_t time)
{
    struct gilfree_text text = {0};
    gilfree_put(&text, "gilfree[%d]: ", (int) r->memory.process);
    gilfree_put_thread(&text, r, waiter);
    gilfree_put(&text, waiter->has_gil ? " has waited for the GIL for " : " has been suspended for ");
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
    gilfree_put(&text, waiter->has_gil ? " waits no longer, after "
                                       : " is no longer suspended, after ");
    gilfree_put_time(&text, waiter->since - waiter->told);
    gilfree_put_lost(&text, r);
    gilfree_write_report(r, &text);
}

/* Report what has lasted too long: once for each stall, and once for all that wait for one hold. */
static void gilfree_report_stalls(struct gilfree_recorder *r, int64_t time)
{
    int i, j;
    for (i = 0; i < r->all.lives; i++) {
        struct gilfree_thread *thread = r->all.live[i];
        struct gilfree_gil *gil = gilfree_find_gil(r, thread->gil);
        if (thread->told && (thread->state != GILFREE_WAITING || thread->since != thread->told)) {
            if (thread->told_first)
                gilfree_report_end(r, thread);
            thread->told = thread->told_first = 0;
        }
        if (thread->state != GILFREE_WAITING || thread->doubtful || thread->told || gil == NULL
            || time - thread->since < r->limit)
            continue;
        thread->told = thread->since;
        if (gil->now.thread != NULL && gil->told == gil->switched)
            continue;
        thread->told_first = 1;
        gil->told = gil->now.thread == NULL ? 0 : gil->switched;
        gilfree_report_one(r, gil, thread, time);
        for (j = 0; j < r->all.lives; j++)
            if (r->all.live[j]->state == GILFREE_WAITING && r->all.live[j]->gil == thread->gil)
                r->all.live[j]->told = r->all.live[j]->since;
    }
}

#endif
