/** A page that the server renders for each request. */
import { burnAs } from '../../../burn.cjs';

export const dynamic = 'force-dynamic';

// Next.js asks for a default export.
export default async function Page({ params }) {
  const { id } = await params;
  return <p>{`done ${id}, ${Math.round(await burnAs(id))} ms`}</p>;
}
