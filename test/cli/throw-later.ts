/** Throws in a turn of its own, as a failed assertion does. */
const { KVRAFT_THROW: how } = process.env;

setTimeout(() => {
  if (how === "exception") throw new Error("thrown on purpose");
  void Promise.reject(new Error("thrown on purpose"));
}, 300);
