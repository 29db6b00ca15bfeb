/* What the parts of the fuzz target share: instructions, promises that are checked, and rooms with guards. */
#ifndef HARNESS_H
#define HARNESS_H
#define _GNU_SOURCE
#include <diskimg.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A promise of the header: broken, it ends the run with a crash that libFuzzer keeps. */
#define MUST(promise) ((promise) ? (void)0 : broken(__FILE__, __LINE__, #promise))
void broken(const char *file, int line, const char *promise);

/* The largest disk that is read: a fault shows on a small one. */
#define LARGEST (4u << 20)

/* The first bytes of an input say what is done with the rest. All zero: everything as it is meant. */
#define INSTRUCTIONS 16
typedef struct steps {
    unsigned char mode;          /* which of the parts of entry.c */
    unsigned char open_flags;    /* bits of DISKIMG_OPEN_* */
    unsigned char format;        /* what the image is opened as */
    unsigned char struct_size;   /* what structures say of their size */
    unsigned char fault;         /* how a callback of the source fails */
    unsigned char fault_at;      /* and at which call; 0 for none */
    unsigned char target_fault;  /* the same of the target */
    unsigned char target_fault_at;
    unsigned char target;        /* format and flags of what is written */
    unsigned char stop_at;       /* the call of progress or problem that stops the work; 0 for none */
    unsigned char room;          /* extents asked for at once, less one */
    unsigned char length;        /* of a read */
    unsigned char step[2];       /* bytes of a piece of a stream, less one */
    unsigned char offset[2];     /* of a read, in 65536ths of the disk */
} steps;

size_t step_of(const steps *how);

/* Begins with what NULL is not, so that whoever leaves it is found. */
#define UNTOUCHED(type) ((type *)(uintptr_t)1)

/* `call` uses `error`: whatever its status is, the error tells the same. The value is the status. */
#define TRY(status, call)                              \
    do {                                               \
        diskimg_error *error = UNTOUCHED(diskimg_error); \
        (status) = (call);                             \
        told(status, error);                           \
    } while (0)
void told(diskimg_status status, diskimg_error *error);

/* `call`, and whatever it would have stored in `*out` is NULL if it failed. */
#define OPEN(status, out, call)                       \
    do {                                              \
        (out) = (void *)(uintptr_t)1;                 \
        TRY(status, call);                            \
        MUST(((status) == DISKIMG_OK) == ((out) != NULL)); \
    } while (0)

/* Memory with bytes on both sides that nobody may change. */
typedef struct room {
    unsigned char *bytes;
    size_t length;
} room;
room new_room(size_t length);
void free_room(room of);

/* Room for a structure of `own` bytes, that claims `said`: what `how` makes of the size. */
size_t odd_size(const steps *how, size_t own);
room new_record(size_t own, size_t said);
/* Filled up to what it said, and zeros behind what is known; after a failure untouched. */
void check_record(const room *of, size_t own, size_t said, diskimg_status status);
/* A copy of a structure that is handed over, with another size as `how` says: one that is refused if not `*valid`. */
room odd_copy(const steps *how, const void *record, size_t own, int *valid);

/* How images are opened: with limits that suit a fuzzer. */
diskimg_open_options opening(const steps *how);

/* A file in memory whose callbacks fail as they are told. */
typedef struct file {
    const unsigned char *data; /* of a source, or NULL */
    unsigned char *bytes;      /* of a target, or NULL */
    uint64_t length;
    uint64_t longest; /* more than it may be written */
    unsigned char fault;
    int fault_at, calls, closed;
    int failed; /* what a call returned that was no success */
} file;
file source_file(const unsigned char *data, size_t length, unsigned char fault, int fault_at);
file target_file(size_t longest, unsigned char fault, int fault_at);
diskimg_io io_of(file *of, const steps *how);
/* Closed exactly once, and gone. */
void end_file(file *of);

/* A directory for one disk. It is empty again in the end: nothing is left of what failed. */
typedef struct folder {
    char name[64], disk[64], extent[64];
} folder;
folder new_folder(void);
void end_folder(const folder *of, diskimg_status status);

/* image.c: everything that can be asked of an image; `steady` if the same question has the same answer. */
void use_image(const diskimg_image *image, const steps *how, int steady);

/* target.c */
void convert_image(const diskimg_image *image, const steps *how, int steady);
void write_image(const steps *how, const unsigned char *data, size_t length);
diskimg_convert_options converting(const steps *how);

/* Counts calls, and stops the work at one of them. */
typedef struct stopper {
    int calls, stop_at, stopped, ended;
    uint64_t last;
    pthread_t thread;
} stopper;
stopper stopping(const steps *how);
int stop(void *user, uint64_t done, uint64_t total);
/* What was stopped before its end was cancelled. */
void check_stopped(const stopper *state, diskimg_status status);

/* stream.c */
void probe_stream(const steps *how, const unsigned char *data, size_t length);
void convert_stream(const steps *how, const unsigned char *data, size_t length);

#endif
