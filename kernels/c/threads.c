/* Runs one function on several threads and waits for all of them. */
#include <pthread.h>

#include "core.h"

enum { MOST_THREADS = 256 };

typedef struct {
    void (*work)(void *, int);
    void *context;
    int thread;
} call;

static void *run(void *argument)
{
    const call *c = argument;
    c->work(c->context, c->thread);
    return NULL;
}

void dep_parallel(int threads, void (*work)(void *, int), void *context)
{
    pthread_t handle[MOST_THREADS];
    call calls[MOST_THREADS];
    int started = 1;
    if (threads > MOST_THREADS)
        threads = MOST_THREADS;
    for (; started < threads; started++) {
        calls[started] = (call){work, context, started};
        if (pthread_create(&handle[started], NULL, run, &calls[started]) != 0)
            break;
    }
    work(context, 0);
    for (int t = started; t < threads; t++)
        work(context, t);
    for (int t = 1; t < started; t++)
        pthread_join(handle[t], NULL);
}
