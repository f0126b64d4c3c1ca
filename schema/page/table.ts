/** A table as text: what is in it is decided apart from the page. */
export interface Table {
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
}
