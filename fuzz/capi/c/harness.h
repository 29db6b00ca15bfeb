/* Shared by the parts of the fuzz target: instructions, checks, and buffers with guard bytes. */
#ifndef HARNESS_H
#define HARNESS_H
#define _GNU_SOURCE
#include <diskimg.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Checks a rule of the header. A violation crashes the run, and libFuzzer stores the input. */
#define MUST(rule) ((rule) ? (void)0 : broken(__FILE__, __LINE__, #rule))
void broken(const char *file, int line, const char *rule);

/* The largest disk to read. Small disks are enough to find faults. */
#define LARGEST (4u << 20)

/* The first bytes of an input: instructions for the rest. All zero: normal use without faults. */
#define INSTRUCTIONS 16
typedef struct steps {
    unsigned char mode;          /* selects a part of entry.c */
    unsigned char open_flags;    /* bits of DISKIMG_OPEN_* */
    unsigned char format;        /* of the image */
    unsigned char struct_size;   /* changes the size in structures */
    unsigned char fault;         /* of a callback of the source */
    unsigned char fault_at;      /* the call with the fault; 0 for none */
    unsigned char target_fault;  /* of a callback of the target */
    unsigned char target_fault_at;
    unsigned char target;        /* format and flags of the target */
    unsigned char stop_at;       /* the call of progress or problem that cancels; 0 for none */
    unsigned char room;          /* extents per call, minus one */
    unsigned char length;        /* of a read */
    unsigned char step[2];       /* chunk size of a stream, minus one */
    unsigned char offset[2];     /* of a read, in 65536ths of the disk */
} steps;

size_t step_of(const steps *how);

/* An initial value other than NULL, to detect functions that do not set it. */
#define UNTOUCHED(type) ((type *)(uintptr_t)1)

/* Evaluates `call`, which uses `error`, and checks that the error has its status. The value is the status. */
#define TRY(status, call)                              \
    do {                                               \
        diskimg_error *error = UNTOUCHED(diskimg_error); \
        (status) = (call);                             \
        check_error(status, error);                           \
    } while (0)
void check_error(diskimg_status status, diskimg_error *error);

/* Evaluates `call`, and checks that `*out` is NULL after a failure. */
#define OPEN(status, out, call)                       \
    do {                                              \
        (out) = (void *)(uintptr_t)1;                 \
        TRY(status, call);                            \
        MUST(((status) == DISKIMG_OK) == ((out) != NULL)); \
    } while (0)

/* A buffer with guard bytes on both sides. */
typedef struct room {
    unsigned char *bytes;
    size_t length;
} room;
room new_room(size_t length);
void free_room(room of);

/* odd_size() returns the struct_size that `how` selects for a structure of `own` bytes. new_record() returns room for a
 * structure with that size. */
size_t odd_size(const steps *how, size_t own);
room new_record(size_t own, size_t said);
/* Checks that the structure is filled up to its size, with zeros in unknown members, or unchanged after a failure. */
void check_record(const room *of, size_t own, size_t said, diskimg_status status);
/* Returns a copy of a structure with the size that `how` selects. The library must reject it if `*valid` is false. */
room odd_copy(const steps *how, const void *record, size_t own, int *valid);

/* Returns options to open images with, with limits for a fuzzer. */
diskimg_open_options opening(const steps *how);

/* A file in memory whose callbacks fail on request. */
typedef struct file {
    const unsigned char *data; /* of a source, or NULL */
    unsigned char *bytes;      /* of a target, or NULL */
    uint64_t length;
    uint64_t longest; /* the limit for writes */
    unsigned char fault;
    int fault_at, calls, closed;
    int failed; /* the error that a call returned */
} file;
file source_file(const unsigned char *data, size_t length, unsigned char fault, int fault_at);
file target_file(size_t longest, unsigned char fault, int fault_at);
diskimg_io io_of(file *of, const steps *how);
/* Checks that the file was closed exactly once, and frees it. */
void end_file(file *of);

/* A directory for one disk. It must be empty at the end: a failure leaves no file. */
typedef struct folder {
    char name[64], disk[64], extent[64];
} folder;
folder new_folder(void);
void end_folder(const folder *of, diskimg_status status);

/* image.c: calls every function on an image. `steady` is true if repeated calls give the same result. */
void use_image(const diskimg_image *image, const steps *how, int steady);

/* target.c */
void convert_image(const diskimg_image *image, const steps *how, int steady);
void write_image(const steps *how, const unsigned char *data, size_t length);
diskimg_convert_options converting(const steps *how);

/* Counts calls, and cancels at one of them. */
typedef struct stopper {
    int calls, stop_at, stopped, ended;
    uint64_t last;
    pthread_t thread;
} stopper;
stopper stopping(const steps *how);
int stop(void *user, uint64_t done, uint64_t total);
/* Checks that a call stopped before its end was cancelled. */
void check_stopped(const stopper *state, diskimg_status status);

/* stream.c */
void probe_stream(const steps *how, const unsigned char *data, size_t length);
void convert_stream(const steps *how, const unsigned char *data, size_t length);

#endif
