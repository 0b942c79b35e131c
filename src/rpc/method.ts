/**
 * What a request asks or a message tells. The numbers are on the wire: they are never reused and never change.
 * 1-15 are the KVServer's, called by clients; 16 and up are Raft's, between peers.
 */
export const method = {
  get: 1,
  put: 2,
  delete: 3,
  isLeader: 4,
  status: 5,
  members: 6,
  changeMembers: 7,
  transferLeader: 8,
  openSnapshot: 9,
  readSnapshot: 10,
  join: 11,
  servers: 12,
  requestVote: 16,
  requestVoteReply: 17,
  appendEntries: 18,
  appendEntriesReply: 19,
  heartbeat: 20,
  heartbeatReply: 21,
  installSnapshot: 22,
  timeoutNow: 23,
  agreement: 24,
  boots: 25,
  form: 32,
} as const;

export type Method = (typeof method)[keyof typeof method];

const names: { readonly [number: number]: string | undefined } = {
  [method.get]: "KVServer.Get",
  [method.put]: "KVServer.Put",
  [method.delete]: "KVServer.Delete",
  [method.isLeader]: "KVServer.IsLeader",
  [method.status]: "KVServer.Status",
  [method.members]: "KVServer.Members",
  [method.changeMembers]: "KVServer.ChangeMembers",
  [method.transferLeader]: "KVServer.TransferLeader",
  [method.openSnapshot]: "KVServer.OpenSnapshot",
  [method.readSnapshot]: "KVServer.ReadSnapshot",
  [method.join]: "KVServer.Join",
  [method.servers]: "KVServer.Servers",
  [method.requestVote]: "Raft.RequestVote",
  [method.requestVoteReply]: "Raft.RequestVoteReply",
  [method.appendEntries]: "Raft.AppendEntries",
  [method.appendEntriesReply]: "Raft.AppendEntriesReply",
  [method.heartbeat]: "Raft.Heartbeat",
  [method.heartbeatReply]: "Raft.HeartbeatReply",
  [method.installSnapshot]: "Raft.InstallSnapshot",
  [method.timeoutNow]: "Raft.TimeoutNow",
  [method.agreement]: "Raft.Agreement",
  [method.boots]: "Raft.Boots",
  [method.form]: "Raft.Form",
};

/** The method's name for messages; a number of another version is named by its number. */
export function methodName(number: number): string {
  return names[number] ?? `method ${number}`;
}
