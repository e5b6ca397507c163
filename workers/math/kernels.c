/* Compiled once for each instruction set with KERNEL_SET defined as its name. The parts are
 * headers of static functions, so that each set exports one symbol: its table. */
#include "workers/math/kernels.h"

#include "workers/math/elementary.h"
#include "workers/math/kernels/simd.h"

#include "workers/math/kernels/norm.h"
#include "workers/math/kernels/activation.h"
#include "workers/math/kernels/softmax.h"
#include "workers/math/kernels/product.h"
#include "workers/math/kernels/gemm.h"
#include "workers/math/kernels/attention.h"
#include "workers/math/kernels/elementwise.h"
#include "workers/math/kernels/panel.h"

#define PASTE_(a, b) a##b
#define PASTE(a, b) PASTE_(a, b)
#define QUOTE_(a) #a
#define QUOTE(a) QUOTE_(a)

#define TABLE PASTE(kernels_, KERNEL_SET)
extern const struct kernels TABLE;
const struct kernels TABLE = {
    .name = QUOTE(KERNEL_SET),
    .rmsnorm = rmsnorm,
    .rmsnorm_backward = rmsnorm_backward,
    .layernorm = layernorm,
    .layernorm_backward = layernorm_backward,
    .bias = bias,
    .bias_backward = bias_backward,
    .gelu = gelu,
    .gelu_backward = gelu_backward,
    .swiglu = swiglu,
    .swiglu_backward = swiglu_backward,
    .rope = rope,
    .attention = attention,
    .attention_backward = attention_backward,
    .log_softmax_pick = log_softmax_pick,
    .log_softmax_backward = log_softmax_backward,
    .softmax_draw = softmax_draw,
    .add = add,
    .scale = scale,
    .lerp = lerp,
    .dot = dot,
    .bf16 = bf16,
    .adamw = adamw,
    .gemm_pack = gemm_pack,
    .gemm = gemm,
    .gemm_block = GEMM_DEPTH,
    .panel_columns = PANEL_COLUMNS,
    .panel = {
        [PRECISION_FP32] = {
            .number = sizeof(float),
            .operand = sizeof(float),
            .pack = pack_floats,
            .round = round_to_floats,
            .product = panel_product_fp32,
            .remember = remember_fp32,
            .attend = attend_fp32,
        },
        [PRECISION_BF16] = {
            .number = sizeof(uint16_t),
            .operand = BF16_OPERAND,
            .pack = pack_pairs,
            .round = round_to_bf16,
            .product = panel_product_bf16,
            .remember = remember_bf16,
            .attend = attend_bf16,
        },
    },
};
