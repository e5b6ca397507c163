#include "proto/bytes.h"

#include <stdlib.h>

#include <openssl/evp.h>

#include "proto/hash_pair.h"

struct sha256 {
    EVP_MD_CTX *ctx;
};

/* Hashing can only fail for want of memory or a broken library. Everything here is named by its
 * hash, so no wrong name may leave this file. */
static void must(int ok)
{
    if (ok != 1)
        abort();
}

void sha256(struct id *out, const void *p, size_t n)
{
    must(EVP_Digest(p, n, out->b, NULL, EVP_sha256(), NULL));
}

void sha256_each(struct id *out, const struct span *in, size_t n)
{
    const bool pairs = hash_pair_here();

    for (size_t i = 0; i < n;) {
        if (pairs && i + 1 < n && in[i].n == in[i + 1].n) {
            hash_pair(out + i, in[i].p, in[i + 1].p, in[i].n);
            i += 2;
        } else {
            sha256(out + i, in[i].p, in[i].n);
            i++;
        }
    }
}

int sha256_new(struct sha256 **out, struct err *e)
{
    struct sha256 *h = malloc(sizeof *h);

    if (!h)
        return err_set(e, E_NOMEM, "out of memory");
    h->ctx = EVP_MD_CTX_new();
    if (!h->ctx || EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(h->ctx);
        free(h);
        return err_set(e, E_NOMEM, "out of memory");
    }
    *out = h;
    return OK;
}

void sha256_add(struct sha256 *h, const void *p, size_t n)
{
    must(EVP_DigestUpdate(h->ctx, p, n));
}

void sha256_end(struct sha256 *h, struct id *out)
{
    must(EVP_DigestFinal_ex(h->ctx, out->b, NULL));
    EVP_MD_CTX_free(h->ctx);
    free(h);
}
