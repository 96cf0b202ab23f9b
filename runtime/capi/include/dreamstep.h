/* The dreamstep runtime for C and C++: steps a trained world model and its controller, allocates nothing, and gives the same bits
 * on every machine. Made from the Rust sources, whose documentation this is: do not edit.
 *
 * Every call that can fail returns a dreamstep_status, and writes one line to its message buffer: what was expected and what was
 * found, cut where the buffer is full, empty where all went well. The buffer may be NULL.
 *
 * No function allocates, locks, calls the system, or keeps state of its own: all memory is the caller's. What a pointer alone shows
 * to be wrong (NULL, a misaligned address, a struct that was never made, overlapping input and output) is a status; what it cannot
 * show stands under Safety. Structs hold no resource: there is nothing to free.
 *
 * One tick:
 *
 *     dreamstep_act(&agent, observation, O, action, A, message, sizeof message);   what the actuators wait for
 *     dreamstep_advance(&agent, message, sizeof message);                          after the command is out
 */

#ifndef DREAMSTEP_H
#define DREAMSTEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * 64-bit words of a `dreamstep_model`.
 */
#define DREAMSTEP_MODEL_WORDS 192

/**
 * 64-bit words of a `dreamstep_agent`.
 */
#define DREAMSTEP_AGENT_WORDS 64

/**
 * 64-bit words of a `dreamstep_dreams`.
 */
#define DREAMSTEP_DREAMS_WORDS 96

/**
 * Bytes of a `dreamstep_model`.
 */
#define DREAMSTEP_MODEL_SIZE (DREAMSTEP_MODEL_WORDS * 8)

/**
 * Bytes of a `dreamstep_agent`.
 */
#define DREAMSTEP_AGENT_SIZE (DREAMSTEP_AGENT_WORDS * 8)

/**
 * Bytes of a `dreamstep_dreams`.
 */
#define DREAMSTEP_DREAMS_SIZE (DREAMSTEP_DREAMS_WORDS * 8)

/**
 * What the address of a `dreamstep_model`, `dreamstep_agent` or `dreamstep_dreams` is a multiple of, where memory for it is
 * not declared as such. Enough on every target; the compiler's own alignment of the struct may be less.
 */
#define DREAMSTEP_ALIGN 8

/**
 * An implementation of the layers. All give the same bits.
 */
enum dreamstep_backend
#ifdef __cplusplus
  : int32_t
#endif // __cplusplus
 {
  /**
   * The widest that this processor runs.
   */
  DREAMSTEP_BACKEND_AUTO = -1,
  /**
   * Any target: the specification.
   */
  DREAMSTEP_BACKEND_PORTABLE = 0,
  /**
   * 128-bit vectors (x86-64 compiled with SSE2: all but soft-float targets).
   */
  DREAMSTEP_BACKEND_SSE2 = 1,
  /**
   * 256-bit vectors (x86-64 with AVX2 and F16C).
   */
  DREAMSTEP_BACKEND_AVX2 = 2,
  /**
   * 512-bit vectors (x86-64 with AVX-512F and BW).
   */
  DREAMSTEP_BACKEND_AVX512 = 3,
  /**
   * The same with 8-bit dot products (AVX-512 VNNI).
   */
  DREAMSTEP_BACKEND_AVX512VNNI = 4,
  /**
   * 128-bit vectors (aarch64 compiled with NEON: all but soft-float targets).
   */
  DREAMSTEP_BACKEND_NEON = 5,
  /**
   * 128-bit vectors (wasm32 compiled with simd128).
   */
  DREAMSTEP_BACKEND_SIMD128 = 6,
};
#ifndef __cplusplus
typedef int32_t dreamstep_backend;
#endif // __cplusplus

/**
 * How a call ended. The numbers stay.
 */
enum dreamstep_status
#ifdef __cplusplus
  : int32_t
#endif // __cplusplus
 {
  /**
   * It did what was asked.
   */
  DREAMSTEP_STATUS_OK = 0,
  /**
   * A pointer is NULL.
   */
  DREAMSTEP_STATUS_NULL = 1,
  /**
   * An address is not a multiple of what its type needs.
   */
  DREAMSTEP_STATUS_MISALIGNED = 2,
  /**
   * The struct does not hold what it should: no function made it, or the one that should have failed.
   */
  DREAMSTEP_STATUS_NOT_MADE = 3,
  /**
   * Input and output overlap.
   */
  DREAMSTEP_STATUS_OVERLAP = 4,
  /**
   * An argument is outside its range.
   */
  DREAMSTEP_STATUS_ARGUMENT = 5,
  /**
   * Another number of values or bytes than expected.
   */
  DREAMSTEP_STATUS_LENGTH = 6,
  /**
   * The memory given is too small.
   */
  DREAMSTEP_STATUS_MEMORY = 7,
  /**
   * A value is infinite or NaN.
   */
  DREAMSTEP_STATUS_NON_FINITE = 8,
  /**
   * Out of turn: an advance without an act, dreams imagined without an action, a model swapped inside a tick.
   */
  DREAMSTEP_STATUS_ORDER = 9,
  /**
   * This processor does not run the back end.
   */
  DREAMSTEP_STATUS_BACKEND = 10,
  /**
   * The bytes are no safetensors file, or cut short.
   */
  DREAMSTEP_STATUS_FILE = 11,
  /**
   * The file is no agent that this version runs.
   */
  DREAMSTEP_STATUS_NOT_AN_AGENT = 12,
  /**
   * The file has no self-test vectors.
   */
  DREAMSTEP_STATUS_SELF_TEST_ABSENT = 13,
  /**
   * The self-test gave other bits than the packer's, or would: the thread's floating-point mode is not the default.
   */
  DREAMSTEP_STATUS_SELF_TEST_FAILED = 14,
  /**
   * The file has no such metadata key.
   */
  DREAMSTEP_STATUS_NO_SUCH_KEY = 15,
  /**
   * The file has no MDN head, so there is nothing to predict or dream with.
   */
  DREAMSTEP_STATUS_NO_HEAD = 16,
  /**
   * A model or state of other sizes.
   */
  DREAMSTEP_STATUS_DIMS = 17,
  /**
   * The bytes are no state, or a damaged one.
   */
  DREAMSTEP_STATUS_STATE = 18,
  /**
   * A state of another model.
   */
  DREAMSTEP_STATUS_OTHER_MODEL = 19,
  /**
   * The controller reads observations: of which a dream has none; and where it reads them alone, nothing is predicted.
   */
  DREAMSTEP_STATUS_INPUT = 20,
};
#ifndef __cplusplus
typedef int32_t dreamstep_status;
#endif // __cplusplus

/**
 * The precision that weights are stored in.
 */
enum dreamstep_precision
#ifdef __cplusplus
  : int32_t
#endif // __cplusplus
 {
  /**
   * IEEE binary32.
   */
  DREAMSTEP_PRECISION_F32 = 0,
  /**
   * IEEE binary16.
   */
  DREAMSTEP_PRECISION_F16 = 1,
  /**
   * The upper 16 bits of a binary32.
   */
  DREAMSTEP_PRECISION_BF16 = 2,
  /**
   * 8-bit integers, one scale per output.
   */
  DREAMSTEP_PRECISION_I8 = 3,
};
#ifndef __cplusplus
typedef int32_t dreamstep_precision;
#endif // __cplusplus

/**
 * What one mixture of Gaussians spans.
 */
enum dreamstep_mixture
#ifdef __cplusplus
  : int32_t
#endif // __cplusplus
 {
  /**
   * The whole latent vector.
   */
  DREAMSTEP_MIXTURE_JOINT = 0,
  /**
   * One dimension of it.
   */
  DREAMSTEP_MIXTURE_PER_DIMENSION = 1,
};
#ifndef __cplusplus
typedef int32_t dreamstep_mixture;
#endif // __cplusplus

/**
 * What remembers.
 */
enum dreamstep_cell_kind
#ifdef __cplusplus
  : int32_t
#endif // __cplusplus
 {
  /**
   * Long short-term memory: h and c.
   */
  DREAMSTEP_CELL_KIND_LSTM = 0,
  /**
   * Gated recurrent unit: h alone.
   */
  DREAMSTEP_CELL_KIND_GRU = 1,
};
#ifndef __cplusplus
typedef int32_t dreamstep_cell_kind;
#endif // __cplusplus

/**
 * What the controller reads.
 */
enum dreamstep_input
#ifdef __cplusplus
  : int32_t
#endif // __cplusplus
 {
  /**
   * The latent vector and h.
   */
  DREAMSTEP_INPUT_LATENT_HIDDEN = 0,
  /**
   * The latent vector alone.
   */
  DREAMSTEP_INPUT_LATENT = 1,
  /**
   * h alone.
   */
  DREAMSTEP_INPUT_HIDDEN = 2,
  /**
   * The whitened observation alone: neither V nor M runs.
   */
  DREAMSTEP_INPUT_OBSERVATION = 3,
  /**
   * The whitened observation and h.
   */
  DREAMSTEP_INPUT_OBSERVATION_HIDDEN = 4,
};
#ifndef __cplusplus
typedef int32_t dreamstep_input;
#endif // __cplusplus

/**
 * When a dream ends.
 */
enum dreamstep_ending
#ifdef __cplusplus
  : int32_t
#endif // __cplusplus
 {
  /**
   * At random, with the terminal probability.
   */
  DREAMSTEP_ENDING_SAMPLED = 0,
  /**
   * Where the terminal probability reaches the threshold.
   */
  DREAMSTEP_ENDING_THRESHOLD = 1,
  /**
   * Never.
   */
  DREAMSTEP_ENDING_NEVER = 2,
};
#ifndef __cplusplus
typedef int32_t dreamstep_ending;
#endif // __cplusplus

/**
 * The sizes of an agent.
 */
typedef struct dreamstep_dims {
  /**
   * `O`: observation.
   */
  uint32_t obs;
  /**
   * `A`: action.
   */
  uint32_t action;
  /**
   * `Z`: latent.
   */
  uint32_t latent;
  /**
   * `H`: hidden units of the memory.
   */
  uint32_t hidden;
  /**
   * `K`: mixture components.
   */
  uint32_t mixtures;
  /**
   * What a mixture spans: a `dreamstep_mixture`.
   */
  int32_t mixture;
  /**
   * `E1`, `E2`: the encoder's hidden layers.
   */
  uint32_t encoder[2];
  /**
   * What remembers: a `dreamstep_cell_kind`.
   */
  int32_t cell;
  /**
   * What the controller reads: a `dreamstep_input`.
   */
  int32_t input;
} dreamstep_dims;

/**
 * A model, in the caller's memory: made by `dreamstep_model_load`. Holds no resource, so there is nothing to free. Agents
 * and dreams point to it: it stays where it is as long as they are used.
 */
typedef struct dreamstep_model {
  uint64_t opaque[DREAMSTEP_MODEL_WORDS];
} dreamstep_model;

/**
 * What a model is.
 */
typedef struct dreamstep_model_info {
  /**
   * Sizes.
   */
  struct dreamstep_dims dims;
  /**
   * The precision of its weights.
   */
  dreamstep_precision precision;
  /**
   * The back end that runs it.
   */
  dreamstep_backend backend;
  /**
   * Whether the MDN head is in the file, so that there is something to predict and dream with.
   */
  bool has_mdn;
  /**
   * Tells models apart: what a saved state says it belongs to.
   */
  uint64_t fingerprint;
} dreamstep_model_info;

/**
 * An agent, in the caller's memory: made by `dreamstep_agent_new`. Holds no resource, so there is nothing to free. Not to
 * be copied.
 */
typedef struct dreamstep_agent {
  uint64_t opaque[DREAMSTEP_AGENT_WORDS];
} dreamstep_agent;

/**
 * Where an agent stands.
 */
typedef struct dreamstep_agent_info {
  /**
   * Names the draws of a latent that is sampled while acting.
   */
  uint64_t seed;
  /**
   * How often the agent advanced since its reset.
   */
  uint64_t tick;
  /**
   * Whether an act waits for its advance.
   */
  bool has_acted;
} dreamstep_agent_info;

/**
 * A batch of dreams, in the caller's memory: made by `dreamstep_dreams_new`. Holds no resource, so there is nothing to
 * free. Not to be copied.
 */
typedef struct dreamstep_dreams {
  uint64_t opaque[DREAMSTEP_DREAMS_WORDS];
} dreamstep_dreams;

/**
 * How dreams are dreamt.
 */
typedef struct dreamstep_dream_options {
  /**
   * Names the draws, together with each dream's number.
   */
  uint64_t seed;
  /**
   * Above 0: divides the mixture logits, and its square root multiplies sigma. 1 is the model's own distribution.
   */
  float temperature;
  /**
   * When a dream ends: a `dreamstep_ending`.
   */
  int32_t ending;
  /**
   * In (0, 1]; read where the ending is `DREAMSTEP_ENDING_THRESHOLD`.
   */
  float threshold;
} dreamstep_dream_options;

/**
 * Where a dream stands.
 */
typedef struct dreamstep_dream_info {
  /**
   * The reward that the model expected for the newest tick; 0 before the first.
   */
  float reward;
  /**
   * The probability that it gave the end at the newest tick; 0 before the first.
   */
  float terminal_probability;
  /**
   * Ticks that the dream lasted so far.
   */
  uint32_t tick;
  /**
   * Whether it has ended, or never began.
   */
  bool is_done;
} dreamstep_dream_info;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The library's version, `major.minor.patch`. The string lives as long as the program.
 */
const char *dreamstep_version(void);

/**
 * `DREAMSTEP_MODEL_SIZE`, for languages that do not read this header.
 */
size_t dreamstep_model_size(void);

/**
 * `DREAMSTEP_AGENT_SIZE`, for languages that do not read this header.
 */
size_t dreamstep_agent_size(void);

/**
 * `DREAMSTEP_DREAMS_SIZE`, for languages that do not read this header.
 */
size_t dreamstep_dreams_size(void);

/**
 * The back end that `DREAMSTEP_BACKEND_AUTO` stands for on this processor.
 */
dreamstep_backend dreamstep_backend_detect(void);

/**
 * Whether this processor runs `backend`, a `dreamstep_backend`. No number but a back end's is one that it runs.
 */
bool dreamstep_backend_is_available(int32_t backend);

/**
 * The name of `backend`, a `dreamstep_backend`, in lower case; NULL past the last. So `for (b = 0;
 * dreamstep_backend_name(b); b++)` visits all. The string lives as long as the program.
 */
const char *dreamstep_backend_name(int32_t backend);

/**
 * How many floats an agent of these sizes works in; 0 where `dims` is NULL, misaligned, or not what a model file can have.
 *
 * # Safety
 * `dims` is NULL or readable.
 */
size_t dreamstep_memory_len(const struct dreamstep_dims *dims);

/**
 * How many bytes an agent's state is; 0 where `dims` is NULL, misaligned, or not what a model file can have.
 *
 * # Safety
 * `dims` is NULL or readable.
 */
size_t dreamstep_state_len(const struct dreamstep_dims *dims);

/**
 * Reads a packed agent into `model`. Every byte of the file is checked, none is copied.
 *
 * `bytes` begins on a 4-byte boundary; on a 64-byte boundary it runs best. `backend` is a `dreamstep_backend`; the results
 * are the same bits whichever it is. Where the call fails, `model` holds none.
 *
 * # Safety
 * `model` is writable, and nothing uses a model that it held. The `len` bytes are readable, and neither change nor go away
 * while the model, or an agent or dreams of it, is used; nor does `model` move. `message` is NULL or `message_len` writable
 * bytes.
 */
dreamstep_status dreamstep_model_load(struct dreamstep_model *model,
                                      const uint8_t *bytes,
                                      size_t len,
                                      int32_t backend,
                                      char *message,
                                      size_t message_len);

/**
 * Says what a model is.
 *
 * # Safety
 * `model` is readable and not changed meanwhile; any number of threads may use it. `info` is writable. `message` is NULL or
 * `message_len` writable bytes.
 */
dreamstep_status dreamstep_model_get_info(const struct dreamstep_model *model,
                                          struct dreamstep_model_info *info,
                                          char *message,
                                          size_t message_len);

/**
 * Looks up a metadata key of the model's file, such as `env`. `*value` becomes the address of the value in the file's
 * bytes, UTF-8 without a NUL at its end and with JSON's escapes as they stand; `*value_len` becomes its bytes. Reads the
 * header anew: not for the control loop.
 *
 * # Safety
 * `model` is readable and not changed meanwhile; any number of threads may use it. `key` ends in NUL. `value` and
 * `value_len` are writable. `message` is NULL or `message_len` writable bytes.
 */
dreamstep_status dreamstep_model_metadata(const struct dreamstep_model *model,
                                          const char *key,
                                          const char **value,
                                          size_t *value_len,
                                          char *message,
                                          size_t message_len);

/**
 * Replays the file's self-test vectors: every action, the final state and the MDN head's outputs must be the packer's, bit
 * for bit. First, that the thread rounds to nearest even and keeps subnormals (no flush-to-zero, no denormals-are-zero). Run it at
 * start-up, in the thread that will run the agent: the floating-point mode is each thread's own. `memory` is as for `dreamstep_agent_new`, and free
 * again afterwards.
 *
 * # Safety
 * `model` is readable and not changed meanwhile; any number of threads may use it. The `memory_len` floats are writable and
 * used by nothing else meanwhile. `message` is NULL or `message_len` writable bytes.
 */
dreamstep_status dreamstep_self_test(const struct dreamstep_model *model,
                                     float *memory,
                                     size_t memory_len,
                                     char *message,
                                     size_t message_len);

/**
 * Makes an agent at the start of an episode, which works in `memory`: at least `dreamstep_memory_len` floats, whatever they
 * hold. Where the call fails, `agent` holds none.
 *
 * # Safety
 * `agent` is writable. `model` is readable, and neither changes nor moves while the agent is used; any number of agents, in
 * any number of threads, may share it. The `memory_len` floats are writable and used by nothing else while the agent is
 * used. One thread at a time uses an agent. `message` is NULL or `message_len` writable bytes.
 */
dreamstep_status dreamstep_agent_new(struct dreamstep_agent *agent,
                                     const struct dreamstep_model *model,
                                     float *memory,
                                     size_t memory_len,
                                     char *message,
                                     size_t message_len);

/**
 * From an observation `[O]` to an action `[A]`, in the environment's units: what the actuators wait for. The recurrent
 * state is read, not changed: until `dreamstep_advance`, acting again answers another observation from the same state.
 * Where the call fails, nothing has changed.
 *
 * # Safety
 * `agent` is writable and used by nothing else meanwhile; its model and its memory are as it was made with. The observation
 * is readable, the action writable, and neither is the agent's memory. `message` is NULL or `message_len` writable bytes.
 */
dreamstep_status dreamstep_act(struct dreamstep_agent *agent,
                               const float *observation,
                               size_t observation_len,
                               float *action,
                               size_t action_len,
                               char *message,
                               size_t message_len);

/**
 * Takes the newest observation and action into the recurrent state. Call it when the command is out. Refused without an act
 * since the last advance or reset.
 *
 * # Safety
 * `agent` is writable and used by nothing else meanwhile; its model and its memory are as it was made with. `message` is
 * NULL or `message_len` writable bytes.
 */
dreamstep_status dreamstep_advance(struct dreamstep_agent *agent, char *message, size_t message_len);

/**
 * `dreamstep_act`, then `dreamstep_advance`.
 *
 * # Safety
 * `agent` is writable and used by nothing else meanwhile; its model and its memory are as it was made with. The observation
 * is readable, the action writable, and neither is the agent's memory. `message` is NULL or `message_len` writable bytes.
 */
dreamstep_status dreamstep_step(struct dreamstep_agent *agent,
                                const float *observation,
                                size_t observation_len,
                                float *action,
                                size_t action_len,
                                char *message,
                                size_t message_len);

/**
 * What `dreamstep_act` would answer, without a trace: whatever the agent was about to do, it still is.
 *
 * # Safety
 * `agent` is writable and used by nothing else meanwhile; its model and its memory are as it was made with. The observation
 * is readable, the action writable, and neither is the agent's memory. `message` is NULL or `message_len` writable bytes.
 */
dreamstep_status dreamstep_peek(struct dreamstep_agent *agent,
                                const float *observation,
                                size_t observation_len,
                                float *action,
                                size_t action_len,
                                char *message,
                                size_t message_len);

/**
 * Tells the agent what was really sent to the actuators `[A]`, where that is not what `dreamstep_act` asked for: a safety
 * filter cut it, or another policy is in command. `dreamstep_advance` then remembers this action. Where the call fails,
 * nothing has changed.
 *
 * # Safety
 * `agent` is writable and used by nothing else meanwhile; its model and its memory are as it was made with.
 * The action is readable, and not the agent's memory. `message` is NULL or `message_len` writable bytes.
 */
dreamstep_status dreamstep_override_action(struct dreamstep_agent *agent,
                                           const float *applied,
                                           size_t applied_len,
                                           char *message,
                                           size_t message_len);

/**
 * Forgets everything: the start of an episode. The seed stays.
 *
 * # Safety
 * `agent` is writable and used by nothing else meanwhile; its model and its memory are as it was made with. `message` is
 * NULL or `message_len` writable bytes.
 */
dreamstep_status dreamstep_reset(struct dreamstep_agent *agent, char *message, size_t message_len);

/**
 * Goes on with another model of the same sizes, the state kept: a newer training, another precision. Refused between an act
 * and its advance. Where the call fails, the present model stays.
 *
 * # Safety
 * `agent` is writable and used by nothing else meanwhile; its model and its memory are as it was made with. `model` is as
 * for `dreamstep_agent_new`. `message` is NULL or `message_len` writable bytes.
 */
dreamstep_status dreamstep_swap(struct dreamstep_agent *agent,
                                const struct dreamstep_model *model,
                                char *message,
                                size_t message_len);

/**
 * Sets the seed that names the draws of a latent that is sampled while acting; 0 until set. Models that act on the mean
 * draw nothing.
 *
 * # Safety
 * `agent` is writable and used by nothing else meanwhile; its model and its memory are as it was made with. `message` is
 * NULL or `message_len` writable bytes.
 */
dreamstep_status dreamstep_set_seed(struct dreamstep_agent *agent, uint64_t seed, char *message, size_t message_len);

/**
 * Says where an agent stands.
 *
 * # Safety
 * `agent` is readable and not changed meanwhile; its model and its memory are as it was made with. `info` is
 * writable. `message` is NULL or `message_len` writable bytes.
 */
dreamstep_status dreamstep_agent_get_info(const struct dreamstep_agent *agent,
                                          struct dreamstep_agent_info *info,
                                          char *message,
                                          size_t message_len);

/**
 * Digest of the recurrent state (h, then an LSTM's c): equal on every target, back end and machine.
 *
 * # Safety
 * `agent` is readable and not changed meanwhile; its model and its memory are as it was made with. `digest` is
 * writable. `message` is NULL or `message_len` writable bytes.
 */
dreamstep_status dreamstep_digest(const struct dreamstep_agent *agent, uint64_t *digest, char *message, size_t message_len);

/**
 * Copies the latent vector `[Z]` of the newest observation.
 *
 * # Safety
 * `agent` is readable and not changed meanwhile; its model and its memory are as it was made with. The `len` floats
 * are writable. `message` is NULL or `message_len` writable bytes.
 */
dreamstep_status dreamstep_latent(const struct dreamstep_agent *agent,
                                  float *values,
                                  size_t len,
                                  char *message,
                                  size_t message_len);

/**
 * Copies `h` `[H]` of the recurrent state.
 *
 * # Safety
 * `agent` is readable and not changed meanwhile; its model and its memory are as it was made with. The `len` floats
 * are writable. `message` is NULL or `message_len` writable bytes.
 */
dreamstep_status dreamstep_hidden(const struct dreamstep_agent *agent,
                                  float *values,
                                  size_t len,
                                  char *message,
                                  size_t message_len);

/**
 * Copies `c` `[H]` of the recurrent state. A GRU has none: `len` is 0 then.
 *
 * # Safety
 * `agent` is readable and not changed meanwhile; its model and its memory are as it was made with. The `len` floats
 * are writable. `message` is NULL or `message_len` writable bytes.
 */
dreamstep_status dreamstep_cell(const struct dreamstep_agent *agent,
                                float *values,
                                size_t len,
                                char *message,
                                size_t message_len);

/**
 * Copies the newest action `[A]`, in [-1, 1].
 *
 * # Safety
 * `agent` is readable and not changed meanwhile; its model and its memory are as it was made with. The `len` floats
 * are writable. `message` is NULL or `message_len` writable bytes.
 */
dreamstep_status dreamstep_unit_action(const struct dreamstep_agent *agent,
                                       float *values,
                                       size_t len,
                                       char *message,
                                       size_t message_len);

/**
 * The reward and the probability of the end that the model expects after the newest advance. Runs the MDN head. Refused
 * where the file has none, or the controller reads observations alone. Either pointer may be NULL.
 *
 * # Safety
 * `agent` is writable and used by nothing else meanwhile; its model and its memory are as it was made with. What is written
 * to is NULL or writable, and not the agent's memory. `message` is NULL or `message_len` writable bytes.
 */
dreamstep_status dreamstep_predict(struct dreamstep_agent *agent,
                                   float *reward,
                                   float *terminal_probability,
                                   char *message,
                                   size_t message_len);

/**
 * The latent vector `[Z]` that the model expects after the newest advance: the components' means by weight. Runs the MDN
 * head.
 *
 * # Safety
 * `agent` is writable and used by nothing else meanwhile; its model and its memory are as it was made with. The floats are
 * writable, and not the agent's memory. `message` is NULL or `message_len` writable bytes.
 */
dreamstep_status dreamstep_expected_latent(struct dreamstep_agent *agent,
                                           float *values,
                                           size_t len,
                                           char *message,
                                           size_t message_len);

/**
 * A draw of the next latent vector `[Z]` after the newest advance. `temperature` is above 0; 1 is the model's own
 * distribution. The draw is named by `(seed, step)`: the same name draws the same latent. Tick `t` of dream `n` has step `n
 * * 2^32 + t`. Runs the MDN head.
 *
 * # Safety
 * `agent` is writable and used by nothing else meanwhile; its model and its memory are as it was made with. The floats are
 * writable, and not the agent's memory. `message` is NULL or `message_len` writable bytes.
 */
dreamstep_status dreamstep_sample_latent(struct dreamstep_agent *agent,
                                         float temperature,
                                         uint64_t seed,
                                         uint64_t step,
                                         float *values,
                                         size_t len,
                                         char *message,
                                         size_t message_len);

/**
 * Writes the agent's state to `bytes`, `dreamstep_state_len` of them: it goes on from there here or on another machine, bit
 * for bit.
 *
 * # Safety
 * `agent` is readable and not changed meanwhile; its model and its memory are as it was made with. The `len` bytes
 * are writable. `message` is NULL or `message_len` writable bytes.
 */
dreamstep_status dreamstep_state_save(const struct dreamstep_agent *agent,
                                      uint8_t *bytes,
                                      size_t len,
                                      char *message,
                                      size_t message_len);

/**
 * Goes on from a state that this model's agent saved, with the bits that it would have given. Refused where it is another
 * model's, or damaged; nothing has changed then.
 *
 * # Safety
 * `agent` is writable and used by nothing else meanwhile; its model and its memory are as it was made with. The `len` bytes
 * are readable. `message` is NULL or `message_len` writable bytes.
 */
dreamstep_status dreamstep_state_load(struct dreamstep_agent *agent,
                                      const uint8_t *bytes,
                                      size_t len,
                                      char *message,
                                      size_t message_len);

/**
 * Goes on from the state of an agent of the same sizes, whatever its model. `*same_model`, unless NULL, becomes whether it
 * is this agent's. Where the call fails, nothing has changed.
 *
 * # Safety
 * `agent` is writable and used by nothing else meanwhile; its model and its memory are as it was made with. The `len` bytes
 * are readable, `same_model` is NULL or writable. `message` is NULL or `message_len` writable bytes.
 */
dreamstep_status dreamstep_state_adopt(struct dreamstep_agent *agent,
                                       const uint8_t *bytes,
                                       size_t len,
                                       bool *same_model,
                                       char *message,
                                       size_t message_len);

/**
 * Whether an agent of this model can go on from a state: every byte is checked. `*same_model`, unless NULL, becomes whether
 * it is this model's (`dreamstep_state_load`) or another's of the same sizes (`dreamstep_state_adopt`).
 *
 * # Safety
 * `model` is readable and not changed meanwhile; any number of threads may use it. The `len` bytes are readable,
 * `same_model` is NULL or writable. `message` is NULL or `message_len` writable bytes.
 */
dreamstep_status dreamstep_state_check(const struct dreamstep_model *model,
                                       const uint8_t *bytes,
                                       size_t len,
                                       bool *same_model,
                                       char *message,
                                       size_t message_len);

/**
 * How many floats `count` dreams of an agent of these sizes work in; 0 where `dims` is NULL, misaligned, or not what a
 * model file can have, and where no memory holds so many.
 *
 * # Safety
 * `dims` is NULL or readable.
 */
size_t dreamstep_dreams_memory_len(const struct dreamstep_dims *dims, size_t count);

/**
 * Makes `count` dreams, none of which has begun (see `dreamstep_dreams_start`), which work in `memory`: at least
 * `dreamstep_dreams_memory_len` floats, whatever they hold. `options` may be NULL: seed 0, temperature 1, ends drawn at
 * random. Where the call fails, `dreams` holds none.
 *
 * # Safety
 * `dreams` is writable. `model` is readable, and neither changes nor moves while the dreams are used; any number of agents
 * and dreams, in any number of threads, may share it. The `memory_len` floats are writable and used by nothing else while
 * the dreams are used. One thread at a time uses a batch of dreams. `options` is NULL or readable. `message` is NULL or
 * `message_len` writable bytes.
 */
dreamstep_status dreamstep_dreams_new(struct dreamstep_dreams *dreams,
                                      const struct dreamstep_model *model,
                                      float *memory,
                                      size_t memory_len,
                                      size_t count,
                                      const struct dreamstep_dream_options *options,
                                      char *message,
                                      size_t message_len);

/**
 * Begins dream `index` (anew) at a latent vector `[Z]` and a recurrent state, `h` `[H]` and an LSTM's `c` `[H]`; both NULL
 * for the start of an episode (zeros). With a GRU, which has no c, `c` is NULL. `number` names its draws: the same number,
 * seed and start dream the same dream in any batch. Where the call fails, nothing has changed.
 *
 * # Safety
 * `dreams` is writable and used by nothing else meanwhile; their model and their memory are as they were made with. The
 * `latent_len` floats are readable, and so are the `state_len` floats at each of `h` and `c` that is not NULL.
 * `message` is NULL or `message_len` writable bytes.
 */
dreamstep_status dreamstep_dreams_start(struct dreamstep_dreams *dreams,
                                        size_t index,
                                        uint32_t number,
                                        const float *latent,
                                        size_t latent_len,
                                        const float *h,
                                        const float *c,
                                        size_t state_len,
                                        char *message,
                                        size_t message_len);

/**
 * The model's controller acts in every dream that goes on.
 *
 * # Safety
 * `dreams` is writable and used by nothing else meanwhile; their model and their memory are as they were made with.
 * `message` is NULL or `message_len` writable bytes.
 */
dreamstep_status dreamstep_dreams_act(struct dreamstep_dreams *dreams, char *message, size_t message_len);

/**
 * Another policy acts in dream `index`: `unit_action` `[A]`, clamped to [-1, 1]. Where the call fails, nothing has changed.
 *
 * # Safety
 * `dreams` is writable and used by nothing else meanwhile; their model and their memory are as they were made with. The
 * `len` floats are readable, and not the dreams' memory. `message` is NULL or `message_len` writable bytes.
 */
dreamstep_status dreamstep_dreams_set_action(struct dreamstep_dreams *dreams,
                                             size_t index,
                                             const float *unit_action,
                                             size_t len,
                                             char *message,
                                             size_t message_len);

/**
 * The model takes in the actions of all dreams that go on, and says what comes next: reward, end, and a sampled latent.
 * Refused where one of them has no action; nothing has changed then.
 *
 * # Safety
 * `dreams` is writable and used by nothing else meanwhile; their model and their memory are as they were made with.
 * `message` is NULL or `message_len` writable bytes.
 */
dreamstep_status dreamstep_dreams_imagine(struct dreamstep_dreams *dreams, char *message, size_t message_len);

/**
 * `dreamstep_dreams_act`, then `dreamstep_dreams_imagine`. `*active_count`, unless NULL, becomes how many dreams go on.
 *
 * # Safety
 * `dreams` is writable and used by nothing else meanwhile; their model and their memory are as they were made with.
 * `active_count` is NULL or writable. `message` is NULL or `message_len` writable bytes.
 */
dreamstep_status dreamstep_dreams_step(struct dreamstep_dreams *dreams,
                                       size_t *active_count,
                                       char *message,
                                       size_t message_len);

/**
 * Says where dream `index` stands.
 *
 * # Safety
 * `dreams` is readable and not changed meanwhile; their model and their memory are as they were made with. `info` is
 * writable. `message` is NULL or `message_len` writable bytes.
 */
dreamstep_status dreamstep_dreams_get_info(const struct dreamstep_dreams *dreams,
                                           size_t index,
                                           struct dreamstep_dream_info *info,
                                           char *message,
                                           size_t message_len);

/**
 * Copies the latent vector `[Z]` that dream `index` stands at.
 *
 * # Safety
 * `dreams` is readable and not changed meanwhile; their model and their memory are as they were made with. The `len` floats
 * are writable. `message` is NULL or `message_len` writable bytes.
 */
dreamstep_status dreamstep_dreams_latent(const struct dreamstep_dreams *dreams,
                                         size_t index,
                                         float *values,
                                         size_t len,
                                         char *message,
                                         size_t message_len);

/**
 * Copies `h` `[H]` of dream `index`.
 *
 * # Safety
 * `dreams` is readable and not changed meanwhile; their model and their memory are as they were made with. The `len` floats
 * are writable. `message` is NULL or `message_len` writable bytes.
 */
dreamstep_status dreamstep_dreams_hidden(const struct dreamstep_dreams *dreams,
                                         size_t index,
                                         float *values,
                                         size_t len,
                                         char *message,
                                         size_t message_len);

/**
 * Copies `c` `[H]` of dream `index`. A GRU has none: `len` is 0 then.
 *
 * # Safety
 * `dreams` is readable and not changed meanwhile; their model and their memory are as they were made with. The `len` floats
 * are writable. `message` is NULL or `message_len` writable bytes.
 */
dreamstep_status dreamstep_dreams_cell(const struct dreamstep_dreams *dreams,
                                       size_t index,
                                       float *values,
                                       size_t len,
                                       char *message,
                                       size_t message_len);

/**
 * Copies the newest action `[A]` of dream `index`, in [-1, 1].
 *
 * # Safety
 * `dreams` is readable and not changed meanwhile; their model and their memory are as they were made with. The `len` floats
 * are writable. `message` is NULL or `message_len` writable bytes.
 */
dreamstep_status dreamstep_dreams_unit_action(const struct dreamstep_dreams *dreams,
                                              size_t index,
                                              float *values,
                                              size_t len,
                                              char *message,
                                              size_t message_len);

/**
 * Digest of dream `index`: h, an LSTM's c, z, reward, terminal probability. Equal on every target, in every batch.
 *
 * # Safety
 * `dreams` is readable and not changed meanwhile; their model and their memory are as they were made with. `digest` is
 * writable. `message` is NULL or `message_len` writable bytes.
 */
dreamstep_status dreamstep_dreams_digest(const struct dreamstep_dreams *dreams,
                                         size_t index,
                                         uint64_t *digest,
                                         char *message,
                                         size_t message_len);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* DREAMSTEP_H */
