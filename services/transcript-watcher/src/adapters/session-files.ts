import { lstat } from 'node:fs/promises';
import { agentOf, isSessionId, transcriptName } from '../core/transcript-path.ts';
import { findOwner } from './agent-owner.ts';
import { lookAt } from './file-look.ts';
import { FolderListing } from './folder-listing.ts';

/** A transcript of a session. */
export interface SessionFile {
  /** Path below the root, such as `-home-alpha/3f….jsonl`. */
  file: string;
  /** The subagent whose transcript it is. */
  agentId?: string;
}

/** What a session has on disk. */
export interface SessionPlaces {
  files: SessionFile[];
  /** Folders in which files of its subagents appear, paths below the root. */
  folders: string[];
}

interface Project {
  listing: FolderListing;
  /** Transcripts of subagents that lie beside those of the sessions, by name: whose they are, null for nobody's. */
  owners: Map<string, string | null>;
  /** The same the other way round. */
  agentsOf: Map<string, string[]>;
  /** Those whose session is not known yet, each with what it looked like when it was asked last. */
  strays: Map<string, string | undefined>;
  /** They are asked once a look, whoever wants to know. */
  asking: Promise<void> | undefined;
}

/**
 * Finds the transcripts of sessions in `CLAUDE_DATA_DIR/projects`, in the places of all client versions:
 *
 * - `<project>/<session>.jsonl`, the session's own
 * - `<project>/<session>/subagents/agent-*.jsonl` and `<project>/<session>/agent-*.jsonl` (2.1)
 * - `<project>/agent-*.jsonl`, which say in their first line whose they are (2.0)
 *
 * Names only, in folders that are no links; whether a file may be opened is for the opening to find out.
 */
export class SessionFiles {
  readonly root: string;
  readonly #top: FolderListing;
  readonly #projects = new Map<string, Project>();
  /** The projects in which a name occurs: transcripts of sessions and their folders. */
  #projectsOf = new Map<string, string[]>();
  /** Session folders that were looked into. */
  readonly #folders = new Map<string, FolderListing>();
  #refreshing: Promise<void> | undefined;

  /** @param root `CLAUDE_DATA_DIR/projects`; it need not exist yet */
  constructor(root: string) {
    this.root = root;
    this.#top = new FolderListing(root, { mayBeLink: true });
  }

  /** Looks for names that came or went. Calls at the same time share one look. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  /** What the session has, as of the last `refresh`. */
  async find(session: string): Promise<SessionPlaces> {
    const files: SessionFile[] = [];
    const folders: string[] = [];
    const projects = new Set<string>();
    for (const project of this.#projectsOf.get(transcriptName(session)) ?? []) {
      projects.add(project);
      files.push({ file: `${project}/${transcriptName(session)}` });
    }
    for (const project of this.#projectsOf.get(session) ?? []) {
      projects.add(project);
      for (const folder of [`${project}/${session}`, `${project}/${session}/subagents`]) {
        const names = await this.#namesIn(folder);
        files.push(...agentsIn(folder, names));
        if (folder.endsWith('/subagents') && names.length > 0) folders.push(folder);
      }
    }
    for (const project of projects) {
      await this.#identify(project);
      files.push(...agentsIn(project, this.#projects.get(project)?.agentsOf.get(session) ?? []));
    }
    return { files, folders };
  }

  /** Drops what only the search for this session's files needed. */
  forget(session: string): void {
    for (const project of this.#projectsOf.get(session) ?? []) {
      this.#folders.delete(`${project}/${session}`);
      this.#folders.delete(`${project}/${session}/subagents`);
    }
  }

  /** The sessions whose own transcript changed since then, with their projects. */
  async findChangedSince(timeMs: number): Promise<{ session: string; project: string }[]> {
    await this.refresh();
    const changed: { session: string; project: string }[] = [];
    for (const [name, projects] of this.#projectsOf) {
      const session = name.endsWith('.jsonl') ? name.slice(0, -'.jsonl'.length) : '';
      if (!isSessionId(session) || agentOf(name) !== undefined) continue;
      for (const project of projects) {
        // Gone since: it is not of this hour any more.
        const mtimeMs = await lstat(`${this.root}/${project}/${name}`).then(
          (stats) => stats.mtimeMs,
          () => 0,
        );
        if (mtimeMs < timeMs) continue;
        changed.push({ session, project });
        break;
      }
    }
    return changed;
  }

  async #refresh(): Promise<void> {
    let isNew = await this.#top.refresh();
    if (isNew) this.#setProjects(new Set(this.#top.names));
    for (const project of this.#projects.values()) {
      project.asking = undefined;
      if (!(await project.listing.refresh())) continue;
      isNew = true;
      sortAgents(project);
    }
    if (isNew) this.#index();
  }

  #setProjects(names: ReadonlySet<string>): void {
    for (const name of this.#projects.keys()) if (!names.has(name)) this.#projects.delete(name);
    for (const name of names) {
      if (this.#projects.has(name)) continue;
      const listing = this.#top.folder(name);
      const unasked = {
        owners: new Map(),
        agentsOf: new Map(),
        strays: new Map<string, string | undefined>(),
        asking: undefined,
      };
      this.#projects.set(name, { listing, ...unasked });
    }
  }

  #index(): void {
    const projectsOf = new Map<string, string[]>();
    for (const [project, { listing }] of this.#projects) {
      for (const name of listing.names) {
        const projects = projectsOf.get(name);
        if (projects) projects.push(project);
        else projectsOf.set(name, [project]);
      }
    }
    this.#projectsOf = projectsOf;
  }

  async #namesIn(folder: string): Promise<readonly string[]> {
    const listing = this.#folders.get(folder) ?? new FolderListing(`${this.root}/${folder}`);
    this.#folders.set(folder, listing);
    await listing.refresh();
    return listing.names;
  }

  async #identify(name: string): Promise<void> {
    const project = this.#projects.get(name);
    if (!project) return;
    project.asking ??= this.#ask(name, project);
    await project.asking;
  }

  /** Asks each stray of a project whose it is; an answer holds as long as the file, one without a whole line has none yet. */
  async #ask(folder: string, { strays, owners, agentsOf }: Project): Promise<void> {
    for (const [name, before] of [...strays]) {
      const look = await lookAt(`${this.root}/${folder}/${name}`);
      if (look === before) continue;
      strays.set(name, look);
      const answer = await findOwner(this.root, `${folder}/${name}`);
      // Gone meanwhile, perhaps.
      if (!answer || !strays.delete(name)) continue;
      const { session } = answer;
      owners.set(name, session ?? null);
      if (session !== undefined) agentsOf.set(session, [...(agentsOf.get(session) ?? []), name]);
    }
  }
}

/** Forgets the subagents' files that went, and finds those that came. */
function sortAgents({ listing, owners, agentsOf, strays }: Project): void {
  const names = new Set(listing.names.filter((name) => agentOf(name) !== undefined));
  for (const [name, session] of owners) {
    if (names.has(name)) continue;
    owners.delete(name);
    if (session === null) continue;
    const left = (agentsOf.get(session) ?? []).filter((other) => other !== name);
    if (left.length > 0) agentsOf.set(session, left);
    else agentsOf.delete(session);
  }
  for (const name of strays.keys()) if (!names.has(name)) strays.delete(name);
  for (const name of names) if (!owners.has(name) && !strays.has(name)) strays.set(name, undefined);
}

function agentsIn(folder: string, names: readonly string[]): SessionFile[] {
  return names.flatMap((name) => {
    const agentId = agentOf(name);
    return agentId === undefined ? [] : [{ file: `${folder}/${name}`, agentId }];
  });
}
