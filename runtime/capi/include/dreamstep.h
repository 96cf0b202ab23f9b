/* The dreamstep runtime for C and C++: steps a trained world model and its controller, allocates nothing, and gives the same bits
 * on every machine. Made from the Rust sources, whose documentation this is: do not edit.
 *
 * One tick:
 *
 *     dreamstep_agent_act(&agent, observation, O, action, A);   what the actuators wait for
 *     dreamstep_agent_advance(&agent);                          after the command is out
 *
 * Names: the noun, then the verb. dreamstep_model_ loads a file and says what it is, dreamstep_agent_ runs the control loop,
 * dreamstep_dreams_ imagines, dreamstep_backend_ tells what the processor runs.
 *
 * Errors: every call that can be refused returns a dreamstep_status, 0 where it was not, so that calls chain with ||. Nothing else is
 * needed in the loop. dreamstep_status_text says a status in words. The object keeps the particulars, a small value that is
 * overwritten by its next refusal: dreamstep_agent_error (dreamstep_model_error, dreamstep_dreams_error) prints them as a line, what
 * was expected and what was found. A refused dreamstep_model_load, dreamstep_agent_new or dreamstep_dreams_new leaves no object, and
 * its line all the same. Of two objects the first, which the call changes, keeps the line. A call that takes its object as const
 * keeps none, for other threads may read it: its status says all. So does the status of a call whose object is NULL, misaligned or
 * was never made.
 *
 * Memory: no function allocates, locks, calls the system, or keeps state of its own: all memory is the caller's. Objects hold no
 * resource: there is nothing to free. A model refers to its file's bytes; agents and dreams keep a copy of their model, so that only
 * those bytes and their own memory must stay where they are.
 *
 * Stability: numbers, structs and functions stay as they are; what is new comes as new numbers and new functions. A struct of one
 * version of the library is not used with another.
 *
 * What a pointer alone shows to be wrong (NULL, a misaligned address, a struct that was never made, overlapping input and output) is
 * a status; what it cannot show stands under Safety.
 */

#ifndef DREAMSTEP_H
#define DREAMSTEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * 64-bit words of a `dreamstep_model`.
 */
#define DREAMSTEP_MODEL_WORDS 256

/**
 * 64-bit words of a `dreamstep_agent`.
 */
#define DREAMSTEP_AGENT_WORDS 320

/**
 * 64-bit words of a `dreamstep_dreams`.
 */
#define DREAMSTEP_DREAMS_WORDS 320

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
 * How a call ended; `dreamstep_status_text` says it in words. The numbers stay.
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
   * Out of turn: an advance without an act, dreams imagined without an action, a model replaced inside a tick.
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
   * A model or state of other sizes or kinds.
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
   * A model of this kind has none: a range where the action is discrete, a choice where it is continuous, a prediction where
   * there is no memory, a dream where the controller reads observations.
   */
  DREAMSTEP_STATUS_KIND = 20,
  /**
   * The thread's floating-point mode is not the default: another rounding, or subnormals flushed.
   */
  DREAMSTEP_STATUS_FLOAT_ENVIRONMENT = 21,
};
#ifndef __cplusplus
typedef int32_t dreamstep_status;
#endif // __cplusplus

/**
 * What one mixture of Gaussians in M's MDN head spans.
 */
enum dreamstep_mixture
#ifdef __cplusplus
  : int32_t
#endif // __cplusplus
 {
  /**
   * Nothing: there is no memory.
   */
  DREAMSTEP_MIXTURE_NONE = 0,
  /**
   * The whole latent vector.
   */
  DREAMSTEP_MIXTURE_JOINT = 1,
  /**
   * One dimension of it.
   */
  DREAMSTEP_MIXTURE_PER_DIMENSION = 2,
};
#ifndef __cplusplus
typedef int32_t dreamstep_mixture;
#endif // __cplusplus

/**
 * What is observed.
 */
enum dreamstep_observation_kind
#ifdef __cplusplus
  : int32_t
#endif // __cplusplus
 {
  /**
   * One that this version has no number for.
   */
  DREAMSTEP_OBSERVATION_KIND_UNKNOWN = -1,
  /**
   * A vector of floats.
   */
  DREAMSTEP_OBSERVATION_KIND_VECTOR = 0,
  /**
   * An image.
   */
  DREAMSTEP_OBSERVATION_KIND_IMAGE = 1,
};
#ifndef __cplusplus
typedef int32_t dreamstep_observation_kind;
#endif // __cplusplus

/**
 * V: what makes a latent vector of an observation.
 */
enum dreamstep_encoder
#ifdef __cplusplus
  : int32_t
#endif // __cplusplus
 {
  /**
   * One that this version has no number for.
   */
  DREAMSTEP_ENCODER_UNKNOWN = -1,
  /**
   * Nothing: there is no latent vector.
   */
  DREAMSTEP_ENCODER_NONE = 0,
  /**
   * The observation itself, or its first values.
   */
  DREAMSTEP_ENCODER_IDENTITY = 1,
  /**
   * An MLP of one to four hidden layers.
   */
  DREAMSTEP_ENCODER_MLP = 2,
  /**
   * Convolutions over an image.
   */
  DREAMSTEP_ENCODER_CONV = 3,
};
#ifndef __cplusplus
typedef int32_t dreamstep_encoder;
#endif // __cplusplus

/**
 * M: what remembers.
 */
enum dreamstep_memory
#ifdef __cplusplus
  : int32_t
#endif // __cplusplus
 {
  /**
   * One that this version has no number for.
   */
  DREAMSTEP_MEMORY_UNKNOWN = -1,
  /**
   * Nothing.
   */
  DREAMSTEP_MEMORY_NONE = 0,
  /**
   * Long short-term memory: h and c.
   */
  DREAMSTEP_MEMORY_LSTM = 1,
  /**
   * Gated recurrent unit: h alone.
   */
  DREAMSTEP_MEMORY_GRU = 2,
};
#ifndef __cplusplus
typedef int32_t dreamstep_memory;
#endif // __cplusplus

/**
 * C: what acts.
 */
enum dreamstep_controller
#ifdef __cplusplus
  : int32_t
#endif // __cplusplus
 {
  /**
   * One that this version has no number for.
   */
  DREAMSTEP_CONTROLLER_UNKNOWN = -1,
  /**
   * One layer.
   */
  DREAMSTEP_CONTROLLER_LINEAR = 0,
  /**
   * An MLP of one or two hidden layers.
   */
  DREAMSTEP_CONTROLLER_MLP = 1,
};
#ifndef __cplusplus
typedef int32_t dreamstep_controller;
#endif // __cplusplus

/**
 * What the controller reads.
 */
enum dreamstep_controller_input
#ifdef __cplusplus
  : int32_t
#endif // __cplusplus
 {
  /**
   * The latent vector and h.
   */
  DREAMSTEP_CONTROLLER_INPUT_LATENT_HIDDEN = 0,
  /**
   * The latent vector alone.
   */
  DREAMSTEP_CONTROLLER_INPUT_LATENT = 1,
  /**
   * h alone.
   */
  DREAMSTEP_CONTROLLER_INPUT_HIDDEN = 2,
  /**
   * The whitened observation alone: there is neither V nor M.
   */
  DREAMSTEP_CONTROLLER_INPUT_OBSERVATION = 3,
  /**
   * The whitened observation and h.
   */
  DREAMSTEP_CONTROLLER_INPUT_OBSERVATION_HIDDEN = 4,
};
#ifndef __cplusplus
typedef int32_t dreamstep_controller_input;
#endif // __cplusplus

/**
 * What is done.
 */
enum dreamstep_action_kind
#ifdef __cplusplus
  : int32_t
#endif // __cplusplus
 {
  /**
   * One that this version has no number for.
   */
  DREAMSTEP_ACTION_KIND_UNKNOWN = -1,
  /**
   * Numbers, each in its range.
   */
  DREAMSTEP_ACTION_KIND_CONTINUOUS = 0,
  /**
   * One of a few choices.
   */
  DREAMSTEP_ACTION_KIND_DISCRETE = 1,
};
#ifndef __cplusplus
typedef int32_t dreamstep_action_kind;
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
 * When a dream ends.
 */
enum dreamstep_termination
#ifdef __cplusplus
  : int32_t
#endif // __cplusplus
 {
  /**
   * At random, with the terminal probability.
   */
  DREAMSTEP_TERMINATION_SAMPLED = 0,
  /**
   * Where the terminal probability reaches the threshold.
   */
  DREAMSTEP_TERMINATION_THRESHOLD = 1,
  /**
   * Never.
   */
  DREAMSTEP_TERMINATION_NEVER = 2,
};
#ifndef __cplusplus
typedef int32_t dreamstep_termination;
#endif // __cplusplus

/**
 * A model, in the caller's memory: made by `dreamstep_model_load`. Holds no resource, so there is nothing to free. It refers
 * to the file's bytes and to nothing else: it may be copied and moved.
 */
typedef struct dreamstep_model {
  uint64_t opaque[DREAMSTEP_MODEL_WORDS];
} dreamstep_model;

/**
 * What a model is, but for its lengths (`dreamstep_model_obs_len` and so on).
 */
typedef struct dreamstep_model_facts {
  /**
   * Tells models apart: what a saved state says it belongs to.
   */
  uint64_t fingerprint;
  /**
   * Seconds from one tick to the next that the agent was made for; 0 where its file does not say.
   */
  double period_s;
  /**
   * Nats per dimension that the surprise seldom exceeded on held-out data; infinite where the file does not say.
   */
  float surprise_limit;
  /**
   * Components of a mixture `K`; 0 without a memory.
   */
  uint32_t mixtures;
  /**
   * What one mixture spans.
   */
  dreamstep_mixture mixture;
  /**
   * What is observed.
   */
  dreamstep_observation_kind observation;
  /**
   * V.
   */
  dreamstep_encoder encoder;
  /**
   * M.
   */
  dreamstep_memory memory;
  /**
   * C.
   */
  dreamstep_controller controller;
  /**
   * What C reads.
   */
  dreamstep_controller_input controller_input;
  /**
   * What is done.
   */
  dreamstep_action_kind action;
  /**
   * The precision of the weights.
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
} dreamstep_model_facts;

/**
 * An agent, in the caller's memory: made by `dreamstep_agent_new`. Holds no resource, so there is nothing to free. It refers
 * to the file's bytes and to its memory, and holds its model: it may be moved, and not be used as two, which would share
 * that memory.
 */
typedef struct dreamstep_agent {
  uint64_t opaque[DREAMSTEP_AGENT_WORDS];
} dreamstep_agent;

/**
 * Where an agent stands.
 */
typedef struct dreamstep_agent_facts {
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
} dreamstep_agent_facts;

/**
 * What a running agent tells of itself: counts and statistics since it was made or reset, or took over a saved state.
 */
typedef struct dreamstep_health {
  /**
   * Ticks that were counted.
   */
  uint64_t ticks;
  /**
   * Observed values that the normaliser clipped, of `ticks·O`. Training data have next to none: many say that a sensor is
   * off, or in another unit.
   */
  uint64_t clipped;
  /**
   * Action values at an end of their range, of `ticks·A`; 0 of a discrete action.
   */
  uint64_t saturated;
  /**
   * Ticks whose surprise was asked for.
   */
  uint64_t surprises;
  /**
   * The newest surprise, in nats per dimension of the latent vector; 0 before the first.
   */
  float surprise;
  /**
   * Mean of all, in nats per dimension; 0 before the first.
   */
  float surprise_mean;
  /**
   * Greatest of all, in nats per dimension; −infinity before the first.
   */
  float surprise_max;
} dreamstep_health;

/**
 * A batch of dreams, in the caller's memory: made by `dreamstep_dreams_new`. As an agent, it holds no resource, holds its
 * model, and may be moved, and not be used as two.
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
   * When a dream ends: a `dreamstep_termination`.
   */
  int32_t termination;
  /**
   * In (0, 1]; read where the termination is `DREAMSTEP_TERMINATION_THRESHOLD`.
   */
  float threshold;
} dreamstep_dream_options;

/**
 * Where a dream stands.
 */
typedef struct dreamstep_dream_facts {
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
} dreamstep_dream_facts;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The library's version, `major.minor.patch`. The string lives as long as the program.
 */
const char *dreamstep_version(void);

/**
 * A `dreamstep_status` in words, without particulars; never NULL. The string lives as long as the program.
 */
const char *dreamstep_status_text(int32_t status);

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
 * Reads a packed agent into `model`. Every byte of the file is checked, none is copied.
 *
 * `bytes` begins on a 4-byte boundary; on a 64-byte boundary it runs best. `backend` is a `dreamstep_backend`; the results
 * are the same bits whichever it is. Where the call fails, `model` holds none, and `dreamstep_model_error` says why.
 *
 * # Safety
 * `model` is writable, and used by nothing else meanwhile; agents and dreams of a model that it held stay as they are. The
 * `len` bytes are readable, and neither change nor go away while the model, or an agent or dreams of it, is used.
 */
dreamstep_status dreamstep_model_load(struct dreamstep_model *model, const uint8_t *bytes, size_t len, int32_t backend);

/**
 * Replays the file's self-test vectors: every action, the final state and the MDN head's outputs must be the packer's, bit
 * for bit. First, that the thread rounds to nearest even and keeps subnormals (no flush-to-zero, no denormals-are-zero). Run it at
 * start-up, in the thread that will run the agent: the floating-point mode is each thread's own. `memory` is as for `dreamstep_agent_new`, and free
 * again afterwards.
 *
 * # Safety
 * `model` is writable and used by nothing else meanwhile; its file is as it was loaded. The `memory_len` floats are writable
 * and used by nothing else meanwhile.
 */
dreamstep_status dreamstep_model_self_test(struct dreamstep_model *model,
                                           float *memory,
                                           size_t memory_len);

/**
 * Whether an agent of this model can continue from a state: every byte is checked. `*same_model`, unless NULL, becomes whether
 * it is this model's (`dreamstep_agent_load_state`) or another's of the same sizes (`dreamstep_agent_adopt_state`).
 *
 * # Safety
 * `model` is writable and used by nothing else meanwhile. The `len` bytes are readable, `same_model` is NULL or writable.
 */
dreamstep_status dreamstep_model_check_state(struct dreamstep_model *model,
                                             const uint8_t *bytes,
                                             size_t len,
                                             bool *same_model);

/**
 * Writes why the newest refused call of those that may change `model` was refused (load, self-test, check of a state) to
 * `buffer`: one line, what was expected and what was found, cut where the buffer is full, empty where none was refused.
 * Returns `buffer`; an empty string where that is NULL or has no room.
 *
 * # Safety
 * `model` is NULL or readable, and not changed meanwhile. `buffer` is NULL or `len` writable bytes.
 */
const char *dreamstep_model_error(const struct dreamstep_model *model, char *buffer, size_t len);

/**
 * Value `axis` of what a frame is that `dreamstep_agent_act_image` takes: 0 its height, 1 its width, 2 its channels. 0 where `model` holds none,
 * or observes no images, or there is no such axis.
 *
 * # Safety
 * `model` is NULL or readable.
 */
size_t dreamstep_model_frame(const struct dreamstep_model *model,
                             size_t axis);

/**
 * `O`: how many floats an observation is (of an image, what is prepared of it); 0 where `model` holds none.
 *
 * # Safety
 * `model` is NULL or readable, and not changed meanwhile; any number of threads may use it.
 */
size_t dreamstep_model_obs_len(const struct dreamstep_model *model);

/**
 * `A`: how many floats an action is; 1 of a discrete one, the choice's number; 0 where `model` holds none.
 *
 * # Safety
 * `model` is NULL or readable, and not changed meanwhile; any number of threads may use it.
 */
size_t dreamstep_model_action_len(const struct dreamstep_model *model);

/**
 * How many choices a discrete action has; 0 of a continuous one, or where `model` holds none.
 *
 * # Safety
 * `model` is NULL or readable, and not changed meanwhile; any number of threads may use it.
 */
size_t dreamstep_model_choices(const struct dreamstep_model *model);

/**
 * `U`: how many floats an action is as M hears it, `A` of a continuous one and the choices of a discrete one; 0 where `model`
 * holds none.
 *
 * # Safety
 * `model` is NULL or readable, and not changed meanwhile; any number of threads may use it.
 */
size_t dreamstep_model_unit_len(const struct dreamstep_model *model);

/**
 * `Z`: how many floats a latent vector is; 0 without V, or where `model` holds none.
 *
 * # Safety
 * `model` is NULL or readable, and not changed meanwhile; any number of threads may use it.
 */
size_t dreamstep_model_latent_len(const struct dreamstep_model *model);

/**
 * `H`: how many floats M's `h` is; 0 without M, or where `model` holds none.
 *
 * # Safety
 * `model` is NULL or readable, and not changed meanwhile; any number of threads may use it.
 */
size_t dreamstep_model_hidden_len(const struct dreamstep_model *model);

/**
 * How many floats M's `c` is: `H` of an LSTM, else 0.
 *
 * # Safety
 * `model` is NULL or readable, and not changed meanwhile; any number of threads may use it.
 */
size_t dreamstep_model_cell_len(const struct dreamstep_model *model);

/**
 * How many floats an agent of this model works in; 0 where `model` holds none.
 *
 * # Safety
 * `model` is NULL or readable, and not changed meanwhile; any number of threads may use it.
 */
size_t dreamstep_model_memory_len(const struct dreamstep_model *model);

/**
 * How many bytes an agent's saved state is; 0 where `model` holds none.
 *
 * # Safety
 * `model` is NULL or readable, and not changed meanwhile; any number of threads may use it.
 */
size_t dreamstep_model_state_len(const struct dreamstep_model *model);

/**
 * How many floats `count` dreams of this model work in; 0 where `model` holds none, and `SIZE_MAX` where no memory holds so
 * many.
 *
 * # Safety
 * `model` is NULL or readable, and not changed meanwhile; any number of threads may use it.
 */
size_t dreamstep_model_dreams_memory_len(const struct dreamstep_model *model, size_t count);

/**
 * Says what a model is: the kinds of its parts, its precision, its control period.
 *
 * # Safety
 * `model` is readable and not changed meanwhile; any number of threads may use it. `facts` is writable.
 */
dreamstep_status dreamstep_model_info(const struct dreamstep_model *model, struct dreamstep_model_facts *facts);

/**
 * Looks up a metadata key of the model's file: `env` is the environment that the agent was made for, `dreamstep.format` the
 * file's format. `*value` becomes the address of the value in the file's bytes, UTF-8 without a NUL at its end (print it with
 * `%.*s`) and with JSON's escapes as they stand; `*value_len` becomes its bytes. Searches the header: not for the control
 * loop.
 *
 * # Safety
 * `model` is readable and not changed meanwhile; any number of threads may use it. `key` ends in NUL. `value` and
 * `value_len` are writable.
 */
dreamstep_status dreamstep_model_metadata(const struct dreamstep_model *model,
                                          const char *key,
                                          const char **value,
                                          size_t *value_len);

/**
 * The lower and upper end of value `index` of a continuous action, in the environment's units. Refused of a discrete one, and
 * where there is no such value. Either pointer may be NULL.
 *
 * # Safety
 * `model` is readable and not changed meanwhile; any number of threads may use it. `low` and `high` are NULL or writable.
 */
dreamstep_status dreamstep_model_action_range(const struct dreamstep_model *model,
                                              size_t index,
                                              float *low,
                                              float *high);

/**
 * Makes an agent at the start of an episode, which works in `memory`: at least `dreamstep_model_memory_len` floats, whatever
 * they hold. The agent keeps a model of its own: `model` may change, move or go away afterwards; the file's bytes may not.
 * Where the call fails, `agent` holds none, and `dreamstep_agent_error` says why.
 *
 * # Safety
 * `agent` is writable, and used by nothing else meanwhile. `model` is readable and not changed meanwhile; any number of
 * threads may use it. As long as the agent is used, the file's bytes neither change nor go away, and the `memory_len` floats
 * are writable and used by nothing else. One thread at a time uses an agent.
 */
dreamstep_status dreamstep_agent_new(struct dreamstep_agent *agent,
                                     const struct dreamstep_model *model,
                                     float *memory,
                                     size_t memory_len);

/**
 * Writes why the newest refused call of those that may change `agent` was refused to `buffer`: one line, what was expected and
 * what was found, cut where the buffer is full, empty where none was refused. Returns `buffer`; an empty string where that is
 * NULL or has no room.
 *
 * # Safety
 * `agent` is NULL or readable, and not changed meanwhile. `buffer` is NULL or `len` writable bytes.
 */
const char *dreamstep_agent_error(const struct dreamstep_agent *agent,
                                  char *buffer,
                                  size_t len);

/**
 * From an observation `[O]` to an action `[A]`, in the environment's units: what the actuators wait for. The recurrent
 * state is read, not changed: until `dreamstep_agent_advance`, acting again answers another observation from the same state.
 * Where the call fails, nothing has changed.
 *
 * # Safety
 * `agent` is writable and used by nothing else meanwhile; its file and its memory are as it was made with. The observation
 * is readable, the action writable, and neither is the agent's memory.
 */
dreamstep_status dreamstep_agent_act(struct dreamstep_agent *agent,
                                     const float *observation,
                                     size_t observation_len,
                                     float *action,
                                     size_t action_len);

/**
 * From a frame, as the camera has it, to an action `[A]`; what V sees is made of it here, as the file says. The frame's rows of
 * `width · channels` bytes (`dreamstep_model_frame`) begin `stride` bytes apart; the last one may end with its pixels. Otherwise as
 * `dreamstep_agent_act`, which takes, of an agent of images, what is prepared of one, as floats.
 *
 * # Safety
 * `agent` is writable and used by nothing else meanwhile; its file and its memory are as it was made with. The frame is readable, the
 * action writable, and neither is the agent's memory.
 */
dreamstep_status dreamstep_agent_act_image(struct dreamstep_agent *agent,
                                           const uint8_t *frame,
                                           size_t frame_len,
                                           size_t stride,
                                           float *action,
                                           size_t action_len);

/**
 * What `dreamstep_agent_act_image` would answer, without a trace: whatever the agent was about to do, it still is.
 *
 * # Safety
 * As for `dreamstep_agent_act_image`.
 */
dreamstep_status dreamstep_agent_peek_image(struct dreamstep_agent *agent,
                                            const uint8_t *frame,
                                            size_t frame_len,
                                            size_t stride,
                                            float *action,
                                            size_t action_len);

/**
 * Takes the newest observation and action into the recurrent state. Call it when the command is out. Refused without an act
 * since the last advance or reset.
 *
 * # Safety
 * `agent` is writable and used by nothing else meanwhile; its file and its memory are as it was made with.
 */
dreamstep_status dreamstep_agent_advance(struct dreamstep_agent *agent);

/**
 * `dreamstep_agent_act`, then `dreamstep_agent_advance`.
 *
 * # Safety
 * `agent` is writable and used by nothing else meanwhile; its file and its memory are as it was made with. The observation
 * is readable, the action writable, and neither is the agent's memory.
 */
dreamstep_status dreamstep_agent_step(struct dreamstep_agent *agent,
                                      const float *observation,
                                      size_t observation_len,
                                      float *action,
                                      size_t action_len);

/**
 * What `dreamstep_agent_act` would answer, without a trace: whatever the agent was about to do, it still is.
 *
 * # Safety
 * `agent` is writable and used by nothing else meanwhile; its file and its memory are as it was made with. The observation
 * is readable, the action writable, and neither is the agent's memory.
 */
dreamstep_status dreamstep_agent_peek(struct dreamstep_agent *agent,
                                      const float *observation,
                                      size_t observation_len,
                                      float *action,
                                      size_t action_len);

/**
 * Tells the agent what was really sent to the actuators `[A]` (of a discrete action: the choice's number), where that is not what `dreamstep_agent_act` asked for: a safety
 * filter cut it, or another policy is in command. `dreamstep_agent_advance` then remembers this action. Refused without an act
 * since the last advance or reset; where the call fails, nothing has changed.
 *
 * # Safety
 * `agent` is writable and used by nothing else meanwhile; its file and its memory are as it was made with.
 * The action is readable, and not the agent's memory.
 */
dreamstep_status dreamstep_agent_override_action(struct dreamstep_agent *agent,
                                                 const float *applied,
                                                 size_t applied_len);

/**
 * Forgets everything: the start of an episode. The seed stays.
 *
 * # Safety
 * `agent` is writable and used by nothing else meanwhile; its file and its memory are as it was made with.
 */
dreamstep_status dreamstep_agent_reset(struct dreamstep_agent *agent);

/**
 * Continues with another model of the same sizes and kinds, the state kept: a newer training, another precision. Refused
 * between an act and its advance. Where the call fails, the present model stays.
 *
 * # Safety
 * `agent` is writable and used by nothing else meanwhile; its file and its memory are as it was made with. `model` and
 * its file are as for `dreamstep_agent_new`.
 */
dreamstep_status dreamstep_agent_replace_model(struct dreamstep_agent *agent, const struct dreamstep_model *model);

/**
 * Sets the seed that names the draws of a latent that is sampled while acting; 0 until set. Models that act on the mean
 * draw nothing.
 *
 * # Safety
 * `agent` is writable and used by nothing else meanwhile; its file and its memory are as it was made with.
 */
dreamstep_status dreamstep_agent_set_seed(struct dreamstep_agent *agent, uint64_t seed);

/**
 * Says where an agent stands.
 *
 * # Safety
 * `agent` is readable and not changed meanwhile; its file and its memory are as it was made with. `facts` is
 * writable.
 */
dreamstep_status dreamstep_agent_info(const struct dreamstep_agent *agent, struct dreamstep_agent_facts *facts);

/**
 * Digest of the recurrent state (h, then an LSTM's c): equal on every target, back end and machine.
 *
 * # Safety
 * `agent` is readable and not changed meanwhile; its file and its memory are as it was made with. `digest` is
 * writable.
 */
dreamstep_status dreamstep_agent_digest(const struct dreamstep_agent *agent, uint64_t *digest);

/**
 * Copies the latent vector `[Z]` of the newest observation. Without V there is none: `len` is 0 then.
 *
 * # Safety
 * `agent` is readable and not changed meanwhile; its file and its memory are as it was made with. The `len` floats
 * are writable.
 */
dreamstep_status dreamstep_agent_latent(const struct dreamstep_agent *agent, float *values, size_t len);

/**
 * Copies `h` `[H]` of the recurrent state. Without M there is none: `len` is 0 then.
 *
 * # Safety
 * `agent` is readable and not changed meanwhile; its file and its memory are as it was made with. The `len` floats
 * are writable.
 */
dreamstep_status dreamstep_agent_hidden(const struct dreamstep_agent *agent, float *values, size_t len);

/**
 * Copies `c` `[H]` of the recurrent state. None but an LSTM has it: `len` is 0 else.
 *
 * # Safety
 * `agent` is readable and not changed meanwhile; its file and its memory are as it was made with. The `len` floats
 * are writable.
 */
dreamstep_status dreamstep_agent_cell(const struct dreamstep_agent *agent, float *values, size_t len);

/**
 * Copies the newest action `[U]` as M hears it: in [-1, 1], or one-hot.
 *
 * # Safety
 * `agent` is readable and not changed meanwhile; its file and its memory are as it was made with. The `len` floats
 * are writable.
 */
dreamstep_status dreamstep_agent_unit_action(const struct dreamstep_agent *agent, float *values, size_t len);

/**
 * How surprised M is by the observation of the newest act: the negative log-likelihood of its latent vector under what M
 * predicted one step before, in nats per dimension; NaN in an episode's first tick, before which nothing was predicted. Call it
 * between act and advance, when the command is out: it runs the MDN head. It goes into `dreamstep_agent_health`, once a tick,
 * and changes nothing else. `surprise_limit` of `dreamstep_model_info` may say what is unusual. Refused where the file has no
 * MDN head or the model no memory, and without an act since the last advance or reset. `surprise` may be NULL.
 *
 * # Safety
 * `agent` is writable and used by nothing else meanwhile; its file and its memory are as it was made with. `surprise` is NULL
 * or writable, and not the agent's memory.
 */
dreamstep_status dreamstep_agent_surprise(struct dreamstep_agent *agent,
                                          float *surprise);

/**
 * What a running agent tells of itself: how many observed values were clipped, how many actions saturated, how surprised M was.
 *
 * # Safety
 * `agent` is readable and not changed meanwhile; its file and its memory are as it was made with. `health` is writable.
 */
dreamstep_status dreamstep_agent_health(const struct dreamstep_agent *agent,
                                        struct dreamstep_health *health);

/**
 * The newest choice, from 0, of a discrete agent. Refused of a continuous one.
 *
 * # Safety
 * `agent` is readable and not changed meanwhile; its file and its memory are as it was made with. `choice` is writable.
 */
dreamstep_status dreamstep_agent_choice(const struct dreamstep_agent *agent, size_t *choice);

/**
 * The reward and the probability of the end that the model expects after the newest advance. Runs the MDN head. Refused
 * where the file has none, or the model has no memory. Either pointer may be NULL.
 *
 * # Safety
 * `agent` is writable and used by nothing else meanwhile; its file and its memory are as it was made with. What is written
 * to is NULL or writable, and not the agent's memory.
 */
dreamstep_status dreamstep_agent_predict(struct dreamstep_agent *agent, float *reward, float *terminal_probability);

/**
 * The latent vector `[Z]` that the model expects after the newest advance: the components' means by weight. Runs the MDN
 * head.
 *
 * # Safety
 * `agent` is writable and used by nothing else meanwhile; its file and its memory are as it was made with. The floats are
 * writable, and not the agent's memory.
 */
dreamstep_status dreamstep_agent_expected_latent(struct dreamstep_agent *agent, float *values, size_t len);

/**
 * A draw of the next latent vector `[Z]` after the newest advance. `temperature` is above 0; 1 is the model's own
 * distribution. The draw is named by `(seed, step)`: the same name draws the same latent. Tick `t` of dream `n` has step `n
 * * 2^32 + t`. Runs the MDN head.
 *
 * # Safety
 * `agent` is writable and used by nothing else meanwhile; its file and its memory are as it was made with. The floats are
 * writable, and not the agent's memory.
 */
dreamstep_status dreamstep_agent_sample_latent(struct dreamstep_agent *agent,
                                               float temperature,
                                               uint64_t seed,
                                               uint64_t step,
                                               float *values,
                                               size_t len);

/**
 * Writes the agent's state to `bytes`, `dreamstep_model_state_len` of them: an agent continues from it here or on another
 * machine, bit for bit.
 *
 * # Safety
 * `agent` is readable and not changed meanwhile; its file and its memory are as it was made with. The `len` bytes
 * are writable.
 */
dreamstep_status dreamstep_agent_save_state(const struct dreamstep_agent *agent, uint8_t *bytes, size_t len);

/**
 * Continues from a state that this model's agent saved, with the bits that it would have given. Refused where it is another
 * model's, or damaged; nothing has changed then.
 *
 * # Safety
 * `agent` is writable and used by nothing else meanwhile; its file and its memory are as it was made with. The `len` bytes
 * are readable.
 */
dreamstep_status dreamstep_agent_load_state(struct dreamstep_agent *agent, const uint8_t *bytes, size_t len);

/**
 * Continues from the state of an agent of the same sizes and kinds, whatever its model. `*same_model`, unless NULL, becomes whether it
 * is this agent's. Where the call fails, nothing has changed.
 *
 * # Safety
 * `agent` is writable and used by nothing else meanwhile; its file and its memory are as it was made with. The `len` bytes
 * are readable, `same_model` is NULL or writable.
 */
dreamstep_status dreamstep_agent_adopt_state(struct dreamstep_agent *agent,
                                             const uint8_t *bytes,
                                             size_t len,
                                             bool *same_model);

/**
 * Makes `count` dreams, none of which has begun (see `dreamstep_dreams_start`), which work in `memory`: at least
 * `dreamstep_model_dreams_memory_len` floats, whatever they hold. `options` may be NULL: seed 0, temperature 1, ends drawn at
 * random. The dreams keep a model of their own: `model` may change, move or go away afterwards; the file's bytes may not.
 * Refused where the file has no MDN head, or the controller reads observations. Where the call fails, `dreams` holds none, and
 * `dreamstep_dreams_error` says why.
 *
 * # Safety
 * `dreams` is writable, and used by nothing else meanwhile. `model` is readable and not changed meanwhile; any number of
 * threads may use it. `options` is NULL or readable. As long as the dreams are used, the file's bytes neither change nor go
 * away, and the `memory_len` floats are writable and used by nothing else. One thread at a time uses a batch of dreams.
 */
dreamstep_status dreamstep_dreams_new(struct dreamstep_dreams *dreams,
                                      const struct dreamstep_model *model,
                                      float *memory,
                                      size_t memory_len,
                                      size_t count,
                                      const struct dreamstep_dream_options *options);

/**
 * Writes why the newest refused call of those that may change `dreams` was refused to `buffer`: one line, what was expected and
 * what was found, cut where the buffer is full, empty where none was refused. Returns `buffer`; an empty string where that is
 * NULL or has no room.
 *
 * # Safety
 * `dreams` is NULL or readable, and not changed meanwhile. `buffer` is NULL or `len` writable bytes.
 */
const char *dreamstep_dreams_error(const struct dreamstep_dreams *dreams,
                                   char *buffer,
                                   size_t len);

/**
 * Begins dream `index` (anew) at a latent vector `[Z]` and a recurrent state, `h` `[H]` and an LSTM's `c` `[H]`; both NULL
 * for the start of an episode (zeros). With a GRU, which has no c, `c` is NULL. `number` names its draws: the same number,
 * seed and start dream the same dream in any batch. Where the call fails, nothing has changed.
 *
 * # Safety
 * `dreams` is writable and used by nothing else meanwhile; their file and their memory are as they were made with. The
 * `latent_len` floats are readable, and so are the `state_len` floats at each of `h` and `c` that is not NULL.
 */
dreamstep_status dreamstep_dreams_start(struct dreamstep_dreams *dreams,
                                        size_t index,
                                        uint32_t number,
                                        const float *latent,
                                        size_t latent_len,
                                        const float *h,
                                        const float *c,
                                        size_t state_len);

/**
 * The model's controller acts in every dream that is active.
 *
 * # Safety
 * `dreams` is writable and used by nothing else meanwhile; their file and their memory are as they were made with.
 */
dreamstep_status dreamstep_dreams_act(struct dreamstep_dreams *dreams);

/**
 * Another policy acts in dream `index`: `unit_action` `[U]` as M hears it, clamped to [-1, 1]. Where the call fails, nothing has changed.
 *
 * # Safety
 * `dreams` is writable and used by nothing else meanwhile; their file and their memory are as they were made with. The
 * `len` floats are readable, and not the dreams' memory.
 */
dreamstep_status dreamstep_dreams_set_action(struct dreamstep_dreams *dreams,
                                             size_t index,
                                             const float *unit_action,
                                             size_t len);

/**
 * The model takes in the actions of all active dreams, and says what comes next: reward, end, and a sampled latent.
 * Refused where one of them has no action; nothing has changed then.
 *
 * # Safety
 * `dreams` is writable and used by nothing else meanwhile; their file and their memory are as they were made with.
 */
dreamstep_status dreamstep_dreams_imagine(struct dreamstep_dreams *dreams);

/**
 * `dreamstep_dreams_act`, then `dreamstep_dreams_imagine`. `*active_count`, unless NULL, becomes how many dreams are active.
 *
 * # Safety
 * `dreams` is writable and used by nothing else meanwhile; their file and their memory are as they were made with.
 * `active_count` is NULL or writable.
 */
dreamstep_status dreamstep_dreams_step(struct dreamstep_dreams *dreams, size_t *active_count);

/**
 * Says where dream `index` stands.
 *
 * # Safety
 * `dreams` is readable and not changed meanwhile; their file and their memory are as they were made with. `facts` is
 * writable.
 */
dreamstep_status dreamstep_dreams_info(const struct dreamstep_dreams *dreams,
                                       size_t index,
                                       struct dreamstep_dream_facts *facts);

/**
 * Copies the latent vector `[Z]` that dream `index` stands at.
 *
 * # Safety
 * `dreams` is readable and not changed meanwhile; their file and their memory are as they were made with. The `len` floats
 * are writable.
 */
dreamstep_status dreamstep_dreams_latent(const struct dreamstep_dreams *dreams, size_t index, float *values, size_t len);

/**
 * Copies `h` `[H]` of dream `index`.
 *
 * # Safety
 * `dreams` is readable and not changed meanwhile; their file and their memory are as they were made with. The `len` floats
 * are writable.
 */
dreamstep_status dreamstep_dreams_hidden(const struct dreamstep_dreams *dreams, size_t index, float *values, size_t len);

/**
 * Copies `c` `[H]` of dream `index`. A GRU has none: `len` is 0 then.
 *
 * # Safety
 * `dreams` is readable and not changed meanwhile; their file and their memory are as they were made with. The `len` floats
 * are writable.
 */
dreamstep_status dreamstep_dreams_cell(const struct dreamstep_dreams *dreams, size_t index, float *values, size_t len);

/**
 * Copies the newest action `[U]` of dream `index` as M hears it: in [-1, 1], or one-hot.
 *
 * # Safety
 * `dreams` is readable and not changed meanwhile; their file and their memory are as they were made with. The `len` floats
 * are writable.
 */
dreamstep_status dreamstep_dreams_unit_action(const struct dreamstep_dreams *dreams,
                                              size_t index,
                                              float *values,
                                              size_t len);

/**
 * Digest of dream `index`: h, an LSTM's c, z, reward, terminal probability. Equal on every target, in every batch.
 *
 * # Safety
 * `dreams` is readable and not changed meanwhile; their file and their memory are as they were made with. `digest` is
 * writable.
 */
dreamstep_status dreamstep_dreams_digest(const struct dreamstep_dreams *dreams, size_t index, uint64_t *digest);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* DREAMSTEP_H */
