/* A program that links codecs of its own, before libdiskimg.a. The library uses the copies inside it.
 *
 * Without LIBLZMA the program defines functions with the names of the codecs, and each call of one is a failure. With
 * LIBLZMA it links the liblzma of the system. */
#include <diskimg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                            \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                                \
        }                                                                           \
    } while (0)

#ifdef LIBLZMA
#include <lzma.h>

static void check_own_codecs(void) {
    unsigned char packed[256], plain[16];
    size_t length = 0, read = 0, written = 0;
    uint64_t limit = UINT64_MAX;
    CHECK(lzma_version_number() == LZMA_VERSION);
    CHECK(lzma_easy_buffer_encode(6, LZMA_CHECK_CRC32, NULL, (const uint8_t *)"sixteen bytes...", 16, packed, &length,
                                  sizeof packed) == LZMA_OK);
    CHECK(lzma_stream_buffer_decode(&limit, 0, NULL, packed, &read, length, plain, &written, sizeof plain) == LZMA_OK);
    CHECK(written == 16 && memcmp(plain, "sixteen bytes...", 16) == 0);
}
#else
#define WRONG(name)                                              \
    int name(void);                                              \
    int name(void) {                                             \
        fprintf(stderr, "libdiskimg calls %s of the program\n", #name); \
        abort();                                                 \
    }
WRONG(lzma_code)
WRONG(lzma_end)
WRONG(lzma_stream_decoder)
WRONG(lzma_stream_decoder_mt)
WRONG(lzma_crc32)
WRONG(ZSTD_createDCtx)
WRONG(ZSTD_decompressDCtx)
WRONG(ZSTD_decompressStream)
WRONG(ZSTD_isError)
WRONG(libdeflate_alloc_decompressor)
WRONG(libdeflate_deflate_decompress_ex)
WRONG(libdeflate_deflate_decompress)

static void check_own_codecs(void) {}
#endif

/* Opens an image and reads all of it. */
static void read_all(const char *images, const char *name) {
    static char path[4096], bytes[65536];
    diskimg_image *image;
    uint64_t offset = 0;
    size_t read;
    snprintf(path, sizeof path, "%s/good/%s", images, name);
    CHECK(diskimg_open_path(path, NULL, &image, NULL) == DISKIMG_OK);
    do {
        CHECK(diskimg_pread(image, bytes, sizeof bytes, offset, &read, NULL) == DISKIMG_OK);
        offset += read;
    } while (read > 0);
    CHECK(offset == diskimg_size(image));
    diskimg_close(image);
}

int main(int argc, char **argv) {
    CHECK(argc >= 2);
    check_own_codecs();
    read_all(argv[1], "blocks-and-streams.raw.xz");
    read_all(argv[1], "frames.raw.zst");
    read_all(argv[1], "members.raw.gz");
    read_all(argv[1], "zstd.qcow2");
    read_all(argv[1], "deflate.qcow2");
    read_all(argv[1], "stream.vmdk");
    check_own_codecs();
    return 0;
}
